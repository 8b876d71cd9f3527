"""The protocol of ITK-SNAP's deep learning server. It translates; nothing else.

ITK-SNAP sends no header and no token, knows no names of structures, tells nobody of its own undo, and gets the whole
mask each time. Several of its calls change things by GET, so the guard refuses those that another web site makes.
"""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import FormatError, PromptError, ProsectError
from prosect.io.lps import affine_from_lps
from prosect.io.payload import inflate
from prosect.server.converting import Drawing, PointPrompt, Prompt
from prosect.server.foreign import blocking, numbers_of, parse_json, route_class
from prosect.server.forms import Form, form_of
from prosect.server.leaving import end_forgotten, end_seat, end_session
from prosect.server.seats import Seat
from prosect.server.service import Service
from prosect.server.unnamed import UnnamedObjects
from prosect.server.wire import status_of

__all__ = ["LARGE", "dls"]

DIALECT = "dls"
LARGE = ("(/v2)?/upload_raw/[^/]+/?", "/process_(scribble|lasso)_interaction/[^/]+/?")  # paths whose bodies are images
VERSION = "0.1.6"  # clients read it number by number, and want 0.1.2 or later
MODEL = "prosect"
# ITK-SNAP's polygon tool asks for a model of this name, whichever was chosen.
ALIAS = "nnInteractive"
INTERACTIONS = ("point", "scribble", "lasso")
ADOPT_S = 60.0
GZIP = 31  # zlib's word for a gzip stream with the largest window
MAX_AXIS = 4096
TYPES = {
    "float32": "<f4", "float": "<f4", "uint8": "u1", "int8": "i1", "uint16": "<u2", "int16": "<i2", "int32": "<i4",
}  # fmt: skip
MAX_METADATA = 4096

Foreground = Annotated[bool, Query()]


def dls(service: Service) -> APIRouter:
    """Return the routes of the protocol."""
    router = APIRouter(route_class=route_class(refusal), include_in_schema=False)
    objects = UnnamedObjects(service, DIALECT)
    add_models(router, service)
    add_image(router, service, objects)
    add_prompts(router, service, objects)
    return router


def refusal(error: ProsectError) -> Response:
    """Return an error as ITK-SNAP shows it: the body of any answer but 200."""
    status = 404 if error.code in ("SEAT_UNKNOWN", "MODEL_UNKNOWN") else status_of(error)
    return JSONResponse({"error": str(error)}, status)


def add_models(router: APIRouter, service: Service) -> None:
    """Add what the client asks before it has an image."""

    @router.get("/status")
    async def status() -> Response:
        return JSONResponse({"status": "ok", "version": VERSION})

    @router.get("/v2/models")
    async def models() -> Response:
        known = {"channels": [1], "dimensions": 3, "interactions": list(INTERACTIONS)}
        return JSONResponse({"models": [{"id": name, **known} for name in (MODEL, ALIAS)]})

    @router.get("/start_session")
    async def start_old() -> Response:
        return JSONResponse({"session_id": (await blocking(take_seat, service)).identity})

    @router.get("/v2/start_session/{model}")
    async def start(model: str) -> Response:
        if model not in (MODEL, ALIAS):
            return JSONResponse({"error": f"There is no model '{model:.40}'; there are: {MODEL}, {ALIAS}."}, 404)
        return JSONResponse({"session_id": (await blocking(take_seat, service)).identity})

    async def end(identity: str) -> Response:
        known = await blocking(end_soon, service, identity)
        return JSONResponse({"message": "Session ended" if known else "Invalid session"})

    router.add_api_route("/end_session/{identity}", end, methods=["GET"])
    router.add_api_route("/v2/end_session/{identity}", end, methods=["GET"])


def take_seat(service: Service) -> Seat:
    """Return a new seat; those that were ended a while ago, and nobody has gone on with, go now."""
    service.require_writing()
    end_forgotten(service, DIALECT)
    seats = service.library.seats
    for seat in seats.of(DIALECT):
        if seat.about.get("ended") and seats.age_s(seat) > ADOPT_S:
            end_seat(service, seat)
    return seats.take(DIALECT)


def end_soon(service: Service, identity: str) -> bool:
    """Mark a client's session as ended and return whether there was one.

    The client also ends it when it changes its model, and then sends the same image again: so it is kept for a minute.
    """
    seats = service.library.seats
    try:
        seat = seat_of(service, identity)
    except PromptError:
        return False
    seats.keep(replace(seat, about={**seat.about, "ended": True}))
    return True


def seat_of(service: Service, identity: str) -> Seat:
    """Return the seat of a client.

    Raises:
        PromptError: There is none, or it was ended (`SEAT_UNKNOWN`).
    """
    seat = service.library.seats.seat(identity, DIALECT)
    if seat.about.get("ended"):
        raise PromptError("This session was ended; begin a new one.", code="SEAT_UNKNOWN")
    return seat


def add_image(router: APIRouter, service: Service, objects: UnnamedObjects) -> None:
    """Add what concerns the image and the object as a whole."""

    async def upload(request: Request, identity: str) -> Response:
        seat_of(service, identity)
        form = await form_of(request, service)
        try:
            await blocking(show, service, objects, identity, form)
        finally:
            form.delete()
        return JSONResponse({"message": "Image received"})

    async def reset(identity: str) -> Response:
        seat_of(service, identity)
        await blocking(objects.next, identity)
        return JSONResponse({"status": "success"})

    for prefix in ("", "/v2"):
        router.add_api_route(prefix + "/upload_raw/{identity}", upload, methods=["POST"])
        router.add_api_route(prefix + "/reset_interactions/{identity}", reset, methods=["GET"])


def add_prompts(router: APIRouter, service: Service, objects: UnnamedObjects) -> None:
    """Add what a person draws."""

    def answer(identity: str, prompt: Prompt) -> Response:
        objects.prompt(identity, prompt)
        return JSONResponse({"status": "success", "result": encode_mask(objects.whole(identity))})

    @router.get("/v2/process_point_interaction/{identity}")
    async def point(identity: str, point: Annotated[list[int], Query()], foreground: Foreground = True) -> Response:
        seat_of(service, identity)
        said = numbers_of({"point": list(point)}, "point")
        return await blocking(answer, identity, PointPrompt((said[0], said[1], said[2]), foreground))

    @router.get("/process_point_interaction/{identity}")
    async def point_old(identity: str, x: int, y: int, z: int, foreground: Foreground = True) -> Response:
        seat_of(service, identity)
        said = numbers_of({"point": [x, y, z]}, "point")
        return await blocking(answer, identity, PointPrompt((said[0], said[1], said[2]), foreground))

    async def draw(request: Request, identity: str, kind: Literal["scribble", "lasso"], foreground: bool) -> Response:
        seat_of(service, identity)
        form = await form_of(request, service)
        try:
            drawing = await blocking(drawing_of, service, identity, kind, form, foreground)
            return await blocking(answer, identity, drawing)
        finally:
            form.delete()

    @router.post("/process_scribble_interaction/{identity}")
    async def scribble(request: Request, identity: str, foreground: Foreground = True) -> Response:
        return await draw(request, identity, "scribble", foreground)

    @router.post("/process_lasso_interaction/{identity}")
    async def lasso(request: Request, identity: str, foreground: Foreground = True) -> Response:
        return await draw(request, identity, "lasso", foreground)


@dataclass(frozen=True)
class RawImage:
    """An image as ITK-SNAP sends it.

    Attributes:
        array: Its voxels (x y z, which is i j k).
        affine: Voxel centre to RAS mm (4, 4).
        sha256: Of its voxels and geometry.
    """

    array: NDArray[Any]
    affine: NDArray[np.float64]
    sha256: str


def raw_image(form: Form, max_voxels: int) -> RawImage:
    """Return the image in a form.

    Raises:
        FormatError: It is none, or not as large as it says (`REQUEST_INVALID`), or too large (`INPUT_TOO_LARGE`).
    """
    said = metadata_of(form)
    sizes = [int(size) for size in numbers_of(said, "dimensions")]
    if any(not 1 <= size <= MAX_AXIS for size in sizes):
        raise FormatError(f"dimensions: {sizes}; each axis has 1 to {MAX_AXIS} voxels.", code="REQUEST_INVALID")
    count = math.prod(sizes)
    if count > max_voxels:
        raise FormatError(f"{count} voxels; this server takes at most {max_voxels}.", code="INPUT_TOO_LARGE")
    if said.get("components_per_pixel", 1) != 1:
        raise FormatError("An image of one component is needed; choose a channel.", code="REQUEST_INVALID")
    kind = np.dtype(TYPES.get(str(said.get("component_type", "float32")), "<f4"))
    try:
        data = inflate(form.files["file"].read_bytes(), count * kind.itemsize, "The image")
    except FormatError as error:
        raise FormatError(str(error), code="REQUEST_INVALID") from error
    array = np.frombuffer(data, dtype=kind).reshape(sizes, order="F")
    directions = np.reshape(numbers_of(said, "direction", 9), (3, 3))
    affine = affine_from_lps(directions, numbers_of(said, "spacing"), numbers_of(said, "origin"))
    digest = hashlib.sha256(data)
    digest.update(repr((sizes, affine.tolist())).encode())
    return RawImage(array, affine, digest.hexdigest())


def metadata_of(form: Form) -> Mapping[str, Any]:
    """Return what a form says of its image.

    Raises:
        FormatError: There is no image, or nothing is said (`REQUEST_INVALID`).
    """
    if "file" not in form.files:
        raise FormatError("The form has no part `file`.", code="REQUEST_INVALID")
    if "metadata" in form.files:
        return parse_json(form.files["metadata"].read_bytes()[:MAX_METADATA], "metadata")
    return parse_json(form.fields.get("metadata", ""), "metadata")


def show(service: Service, objects: UnnamedObjects, identity: str, form: Form) -> None:
    """Begin on the image in a form, or go on with a session on the same image that was ended a moment ago."""
    image = raw_image(form, service.settings.max_voxels)
    seats = service.library.seats
    for ended in seats.of(DIALECT):
        same = ended.about.get("ended") and ended.about.get("sha256") == image.sha256
        if same and seats.age_s(ended) <= ADOPT_S:
            before = seat_of(service, identity)
            seats.leave(ended.identity)
            seats.keep(replace(ended, identity=identity, about={"sha256": image.sha256}))
            end_session(service, before.session)
            return
    objects.show(identity, image.array, image.affine, {"sha256": image.sha256})


def drawing_of(
    service: Service, identity: str, kind: Literal["scribble", "lasso"], form: Form, positive: bool
) -> Drawing:
    """Return what a client drew, cut to the voxels that it drew.

    Raises:
        FormatError: Nothing is drawn, or on an image of another size (`REQUEST_INVALID`).
    """
    seat = seat_of(service, identity)
    if not seat.session:
        raise FormatError("There is no image yet; send one first.", code="REQUEST_INVALID")
    bits = raw_image(form, service.settings.max_voxels).array != 0
    shape = service.library.session(seat.session).scan.volume.grid.shape
    if bits.shape != shape:
        raise FormatError(f"The drawing has {bits.shape} voxels, the image {shape}.", code="REQUEST_INVALID")
    box = Box.of(bits)
    if not box.size:
        raise FormatError("Nothing is drawn in this image.", code="REQUEST_INVALID")
    return Drawing(kind, box, bits[box.slices], positive)


def encode_mask(mask: NDArray[np.bool_]) -> str:
    """Return a mask (x y z) as ITK-SNAP reads it: one byte per voxel, x fastest, gzipped, in base64.

    Masks are long runs of equal bytes, which this way of packing finds in a third of the time and space.
    """
    deflate = zlib.compressobj(1, zlib.DEFLATED, GZIP, 9, zlib.Z_RLE)
    packed = deflate.compress(mask.view(np.uint8).tobytes(order="F")) + deflate.flush()
    return base64.b64encode(packed).decode("ascii")
