"""The protocol of nnInteractive's server, for its plug-ins in Slicer, napari and MITK. It translates; nothing else.

Clients send arrays as their viewer holds them, the slowest axis first, and nothing says which axis is which. Axes are
reversed on the way in and out, so that the scan here is i j k; see `affine_of` for what is assumed of directions.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

import prosect
from prosect.errors import FormatError, ProsectError, ResourceError
from prosect.server.converting import BoxPrompt, PointPrompt, Prompt
from prosect.server.foreign import (
    blocking,
    body_of,
    flag_of,
    json_of,
    numbers_of,
    parse_json,
    route_class,
    status_without_503,
)
from prosect.server.leaving import end_forgotten
from prosect.server.packed import MAX_AXIS, Packed, pack_array, unpack_array
from prosect.server.reversed_axes import affine_of, box_of, drawing_of, reversed_axes, spacing_of
from prosect.server.seats import Seat
from prosect.server.service import Service
from prosect.server.unnamed import Reply, UnnamedObjects

__all__ = ["LARGE", "nninteractive"]

DIALECT = "nninteractive"
LARGE = ("/set_image", "/add_(scribble|lasso|initial_seg)_interaction")  # paths whose bodies are arrays
PACKED = "application/octet-stream"
IDLE_S = 600.0
LIVENESS_S = 60.0
BUFFER_TYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64")
VERSION = "2.6.0"  # of the protocol: clients show it
LOG = logging.getLogger("prosect.server")

# What their model has as channels, and what clients look for before they offer a tool.
CAPABILITIES: Mapping[str, Any] = {
    "supported_interactions": {"points": True, "bbox2d": True, "bbox3d": True, "scribble": True, "lasso": True},
    "channel_mapping": {
        "prev_seg": 0,
        "bbox2d": [1, 2],
        "bbox3d": [1, 2],
        "lasso": [1, 2],
        "points": [3, 4],
        "scribble": [5, 6],
    },
    "num_interaction_channels": 7,
    "supports_initial_label": True,
    "supports_zero_shot_label_refinement": True,
    "preferred_scribble_thickness": [2, 2, 2],
    "interaction_decay": 0.98,
    "inference_session_version": VERSION,
    "supports_undo": True,
    "do_autozoom": False,
    "patch_size": [128, 128, 128],
}


def nninteractive(service: Service) -> APIRouter:
    """Return the routes of the protocol."""
    router = APIRouter(route_class=route_class(refusal), include_in_schema=False)
    objects = UnnamedObjects(service, DIALECT)
    add_lease(router, service, objects)
    add_scan(router, service, objects)
    add_prompts(router, service, objects)
    return router


def refusal(error: ProsectError) -> Response:
    """Return an error as clients read it: 410 is a lost session, 503 a full server, and nothing else is either."""
    if error.code in ("SEAT_UNKNOWN", "SESSION_UNKNOWN"):  # the page may have ended the session of a lease
        status = 410
    elif error.code == "SERVER_FULL":
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "10"})
    else:
        status = status_without_503(error)
    return JSONResponse({"detail": str(error)}, 400 if status == 422 else status)


def add_lease(router: APIRouter, service: Service, objects: UnnamedObjects) -> None:
    """Add what concerns the client's place."""
    seats = service.library.seats

    @router.post("/claim")
    async def claim() -> Response:
        seat = await blocking(take_seat, service)
        return JSONResponse(
            {
                "lease_token": seat.identity,
                "idle_timeout_seconds": IDLE_S,
                "liveness_timeout_seconds": LIVENESS_S,
                "max_sessions": service.settings.max_sessions,
            }
        )

    @router.get("/capabilities")
    async def capabilities() -> Response:
        licence = await blocking(lambda: service.shelf.licence)
        ours = {"version": prosect.__version__, "conversion": "boxes, scribbles and lassos are converted to clicks"}
        lines = licence.splitlines()
        return JSONResponse({**CAPABILITIES, "license": lines[0] if lines else "", "prosect": ours})

    @router.post("/release")
    async def release(request: Request) -> Response:
        await blocking(objects.leave, lease_of(request))
        return JSONResponse({"released": True})

    @router.post("/heartbeat")
    async def heartbeat(request: Request) -> Response:
        seat = seats.seat(lease_of(request), DIALECT)
        return JSONResponse({"remaining_seconds": remaining_s(service, seat)})

    @router.get("/lease_status")
    async def lease_status(request: Request) -> Response:
        seat = seats.seat(lease_of(request), DIALECT)
        return JSONResponse({"remaining_seconds": remaining_s(service, seat), "idle_timeout_seconds": IDLE_S})


def take_seat(service: Service) -> Seat:
    """Return a new seat.

    Raises:
        ResourceError: All are taken by clients that were active within the last minute (`SERVER_FULL`).
    """
    end_forgotten(service, DIALECT)
    most = service.settings.max_sessions
    active = service.library.seats.active(DIALECT, LIVENESS_S)
    if active >= most:
        raise ResourceError(f"{active} clients work here and {most} are allowed; try again later.", code="SERVER_FULL")
    return service.library.seats.take(DIALECT)


def remaining_s(service: Service, seat: Seat) -> float:
    """Return for how long a client's scan stays in memory; after that its next call brings it back."""
    return max(0.0, IDLE_S - service.library.seats.idle_s(seat.identity))


def add_scan(router: APIRouter, service: Service, objects: UnnamedObjects) -> None:
    """Add what concerns the scan and the object as a whole."""

    @router.post("/set_image")
    async def set_image(request: Request) -> Response:
        lease = active_lease(request, service)
        said = meta_of(request)
        body = await body_of(request, largest(service))
        shape = await blocking(show, service, objects, lease, body, said)
        return JSONResponse({"original_image_shape": shape})

    @router.post("/set_target_buffer")
    async def set_target_buffer(request: Request) -> Response:
        lease = active_lease(request, service)
        await blocking(keep_buffer, service, lease, await json_of(request))
        return JSONResponse({})

    @router.post("/set_do_autozoom")
    async def set_do_autozoom(request: Request) -> Response:
        active_lease(request, service)
        flag_of(await json_of(request), "do_autozoom")
        return JSONResponse({})

    @router.post("/reset_interactions")
    async def reset_interactions(request: Request) -> Response:
        await blocking(objects.next, active_lease(request, service))
        return JSONResponse({})

    @router.post("/undo")
    async def undo(request: Request) -> Response:
        lease = active_lease(request, service)
        return await blocking(lambda: prediction(objects.undo(lease), service, lease))

    @router.post("/predict")
    async def predict(request: Request) -> Response:
        lease = active_lease(request, service)
        return await blocking(lambda: prediction(objects.predict(lease), service, lease))


def add_prompts(router: APIRouter, service: Service, objects: UnnamedObjects) -> None:
    """Add what a person draws."""

    def answer(lease: str, prompt: Prompt, run: bool) -> Response:
        return prediction(objects.prompt(lease, prompt, run), service, lease)

    def draw(kind: Literal["scribble", "lasso"], lease: str, body: Packed, said: Mapping[str, Any]) -> Response:
        drawing = drawing_of(kind, body, said, largest(service), shape_of(service, lease))
        return answer(lease, drawing, flag_of(said, "run_prediction", True))

    def seed(lease: str, body: Packed, said: Mapping[str, Any]) -> Response:
        mask = reversed_axes(unpack_array(body, largest(service)), 3) != 0
        return prediction(objects.seed(lease, mask, flag_of(said, "run_prediction", False)), service, lease)

    @router.post("/add_point_interaction")
    async def add_point(request: Request) -> Response:
        lease = active_lease(request, service)
        said = await json_of(request)
        k, j, i = numbers_of(said, "coordinates")
        point = PointPrompt((i, j, k), flag_of(said, "include_interaction"))
        return await blocking(answer, lease, point, flag_of(said, "run_prediction", True))

    @router.post("/add_bbox_interaction")
    async def add_bbox(request: Request) -> Response:
        lease = active_lease(request, service)
        said = await json_of(request)
        box = box_of(said, "bbox_coords", await blocking(shape_of, service, lease))
        prompt = BoxPrompt(box, flag_of(said, "include_interaction"))
        return await blocking(answer, lease, prompt, flag_of(said, "run_prediction", True))

    @router.post("/add_scribble_interaction")
    async def add_scribble(request: Request) -> Response:
        lease = active_lease(request, service)
        return await blocking(draw, "scribble", lease, await body_of(request, largest(service)), meta_of(request))

    @router.post("/add_lasso_interaction")
    async def add_lasso(request: Request) -> Response:
        lease = active_lease(request, service)
        return await blocking(draw, "lasso", lease, await body_of(request, largest(service)), meta_of(request))

    @router.post("/add_initial_seg_interaction")
    async def add_initial_seg(request: Request) -> Response:
        lease = active_lease(request, service)
        return await blocking(seed, lease, await body_of(request, largest(service)), meta_of(request))


def lease_of(request: Request) -> str:
    """Return the lease that a request names; empty where it names none."""
    return request.headers.get("x-lease-token", "")


def active_lease(request: Request, service: Service) -> str:
    """Return the lease of a request, and note that its client is at work.

    Raises:
        PromptError: There is no such lease (`SEAT_UNKNOWN`).
    """
    lease = lease_of(request)
    service.library.seats.seat(lease, DIALECT)
    service.library.seats.note_activity(lease)
    return lease


def meta_of(request: Request) -> dict[str, Any]:
    """Return what a request says beside its array."""
    return parse_json(request.headers.get("x-meta", ""), "X-Meta")


def largest(service: Service) -> int:
    """Return the bytes of the largest array that is taken."""
    return min(service.settings.max_upload_bytes, service.settings.memory_bytes // 2)


def show(
    service: Service, objects: UnnamedObjects, lease: str, body: Packed, said: Mapping[str, Any]
) -> tuple[int, ...]:
    """Begin on the image that a client sent, and return its shape as the client has it.

    Raises:
        FormatError: It is no image of one channel (`REQUEST_INVALID`).
    """
    array = unpack_array(body, largest(service))
    if array.ndim != 4 or array.shape[0] != 1:
        raise FormatError(
            f"The image has shape {array.shape}; one channel and three axes are needed: (1, x, y, z).",
            code="REQUEST_INVALID",
        )
    properties = said.get("image_properties") or {}
    spacing = spacing_of(properties if isinstance(properties, dict) else {})
    affine = affine_of(spacing, service.settings.nninteractive_axes)
    LOG.info("%s: left and right are not told; %s is assumed", DIALECT, service.settings.nninteractive_axes)
    objects.show(lease, reversed_axes(array[0], 3), affine, {"buffer": "uint8"})
    return array.shape


def shape_of(service: Service, lease: str) -> tuple[int, int, int]:
    """Return the shape (i j k) of the scan that a client sent.

    Raises:
        FormatError: It has sent none (`REQUEST_INVALID`).
    """
    seat = service.library.seats.seat(lease, DIALECT)
    if not seat.session:
        raise FormatError("There is no image yet; call set_image first.", code="REQUEST_INVALID")
    return service.library.session(seat.session).scan.volume.grid.shape


def keep_buffer(service: Service, lease: str, said: Mapping[str, Any]) -> None:
    """Remember the type in which a client wants its mask.

    Raises:
        FormatError: Shape or type are none that a mask has (`REQUEST_INVALID`).
    """
    shape = numbers_of(said, "shape")
    if any(not 1 <= size <= MAX_AXIS for size in shape):
        raise FormatError(f"shape: {shape} is no shape of an image.", code="REQUEST_INVALID")
    kind = said.get("dtype")
    if kind not in BUFFER_TYPES:
        raise FormatError(f"dtype: {kind!r:.30} is none of {', '.join(BUFFER_TYPES)}.", code="REQUEST_INVALID")
    with service.library.seats.hold(lease, DIALECT) as seat:
        scan = shape_of(service, lease)
        if tuple(shape) != tuple(reversed(scan)):
            raise FormatError(
                f"shape: the buffer has {shape}, the image {tuple(reversed(scan))}.", code="REQUEST_INVALID"
            )
        service.library.seats.keep(replace(seat, about={**seat.about, "buffer": str(kind)}))
        service.library.seats.forget_shown(lease)  # the new buffer is empty


def prediction(reply: Reply, service: Service, lease: str) -> Response:
    """Return what came of a request as clients read it: the whole box as it is now, not a difference."""
    if reply.box is None or reply.mask is None:
        said: dict[str, Any] = {"ran_prediction": reply.ran, "bbox": None}
        return Response(b"", media_type=PACKED, headers={"X-Meta": compact(said)})
    seat = service.library.seats.seat(lease, DIALECT)
    kind = np.dtype(str(seat.about.get("buffer", "uint8")))
    values = reply.mask.transpose().astype(kind)
    pairs = [[low, high] for low, high in zip(reply.box.start, reply.box.stop, strict=True)]
    said = {
        "ran_prediction": True,
        "bbox": pairs[::-1],
        "dtype": kind.name,
        "shape": list(values.shape),
    }
    return Response(pack_array(values), media_type=PACKED, headers={"X-Meta": compact(said)})


def compact(said: Mapping[str, Any]) -> str:
    """Return JSON for a header."""
    return json.dumps(said, separators=(",", ":"), allow_nan=False)
