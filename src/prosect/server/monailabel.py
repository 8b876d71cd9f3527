"""MONAI Label's protocol, for its plug-ins in Slicer and OHIF. It translates; nothing else.

Paths are served with and without their last slash. Nothing here reads a body with GET: a client that has logged in
announces the length of an old body with every GET, and never sends it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

from prosect.errors import FormatError, PromptError, ProsectError
from prosect.io.writing import write
from prosect.server.asking import MODELS, answer, compact_values, model_values, read_request
from prosect.server.datastore import FINAL, Datastore, Image
from prosect.server.exports import refuse_dicom, segmentation_of
from prosect.server.foreign import blocking, body_of, flag_of, json_of, parse_json, route_class, text_of
from prosect.server.forms import Form, form_of
from prosect.server.label_files import encode_labels, form_reply
from prosect.server.leaving import end_forgotten, end_seat
from prosect.server.scans import OpenScan
from prosect.server.seats import Seat
from prosect.server.service import Service
from prosect.server.submitted import read_submitted
from prosect.server.uploads import receive
from prosect.server.wire import status_of

__all__ = ["LARGE", "monailabel"]

DIALECT = "monailabel"
LARGE = ("/session/?", "/infer/[^/]+/?", "/datastore(/image|/label)?/?")  # paths whose bodies are files
# What their server does for a web request and ours never does: train, run programs, read logs, replace models.
REFUSED = (
    "/train", "/train/{model}", "/batch/{rest:path}", "/scoring/{rest:path}", "/model/{rest:path}", "/logs",
    "/logs/{rest:path}", "/proxy/{rest:path}", "/ohif", "/ohif/{rest:path}",
)  # fmt: skip
ABSENT = "This server does not do that. `prosect finetune` trains, from sets that the page writes."
STRATEGY = "first"
EXPIRY_S = 3600
DELAY_S = 0.5  # after a wrong password
MAX_LOGIN = 4096


def monailabel(service: Service) -> APIRouter:
    """Return the routes of the protocol."""
    router = APIRouter(route_class=route_class(refusal), include_in_schema=False)
    store = Datastore(service.library)
    add_login(router, service)
    add_information(router, service, store)
    add_images(router, service, store)
    add_labels(router, service, store)
    add_sessions(router, service)
    add_inference(router, service, store)
    return router


def refusal(error: ProsectError) -> Response:
    """Return an error as clients show it."""
    unknown = error.code in ("IMAGE_UNKNOWN", "LABEL_UNKNOWN", "MODEL_UNKNOWN", "SEAT_UNKNOWN")
    return JSONResponse({"detail": str(error)}, 404 if unknown else status_of(error))


def add_login(router: APIRouter, service: Service) -> None:
    """Add what clients ask before everything else."""

    @router.get("/auth")
    async def auth(request: Request) -> Response:
        # Who comes by an address with a token in it has shown that already, and is not asked again.
        enabled = "prosect.path_token" not in request.scope
        return JSONResponse({"enabled": enabled, "client_id": "prosect", "realm": "prosect"})

    @router.post("/auth/token")
    async def token(request: Request) -> Response:
        said = parse_qs((await body_of(request, MAX_LOGIN)).decode("utf-8", "replace"))
        given = said.get("password", [""])[0].encode()
        settings = service.settings
        allowed = [each.encode() for each in (settings.token, settings.dialect_token) if each]
        if not any(hmac.compare_digest(given, each) for each in allowed):
            await asyncio.sleep(DELAY_S)
            return JSONResponse({"detail": "The password is the token that the server printed."}, 401)
        # The client keeps what it gets, so it gets the token that opens no files.
        return JSONResponse({"access_token": settings.dialect_token or settings.token, "token_type": "bearer"})

    @router.get("/auth/token/valid")
    async def valid() -> Response:
        return JSONResponse({"username": "prosect"})  # the guard has looked at the token


def add_information(router: APIRouter, service: Service, store: Datastore) -> None:
    """Add what clients ask when they connect."""

    @router.get("/info")
    async def info() -> Response:
        return JSONResponse(await blocking(describe, service, store))

    async def absent() -> Response:
        return JSONResponse({"detail": ABSENT}, 404)  # of training, clients read this as "not running"

    for path in REFUSED:
        router.add_api_route(path, absent, methods=["GET", "POST", "PUT", "DELETE"])

    @router.post("/activelearning/{strategy}")
    async def next_sample(strategy: str, request: Request) -> Response:
        if strategy != STRATEGY:
            return JSONResponse({"detail": f"There is no strategy '{strategy:.40}'; use {STRATEGY}."}, 404)
        image = await blocking(store.next_unlabelled)
        if image is None:
            return JSONResponse({})
        sample = {"id": image.identity, "name": image.identity}
        if service.settings.share_paths and is_here(request):
            sample |= await blocking(place_of, service, image)
        return JSONResponse(sample)

    @router.get("/datastore")
    async def datastore(output: str = "all") -> Response:
        return JSONResponse(await blocking(list_images, store, output))


def describe(service: Service, store: Datastore) -> dict[str, Any]:
    """Return what a client shows of the server; a `config` of the whole server would make Slicer ask for another."""
    labels = {each.name: each.index for each in service.shelf.clicker().vocabulary if each.status == "supported"}
    sentences = ("automatic", "clicks", "classes and clicks (OHIF)")
    models = {}
    for (name, kind), sentence in zip(MODELS.items(), sentences, strict=True):
        config = {"from": ["draft", "none"]} if kind == "deepgrow" else {}
        models[name] = {"type": kind, "labels": labels, "dimension": 3, "description": sentence, "config": config}
    return {
        "name": "prosect",
        "description": "Automatic and interactive segmentation. Research use only.",
        "version": "2.0",
        "labels": list(labels),
        "models": models,
        "trainers": {},
        "strategies": {STRATEGY: {"description": "next scan without a final label"}},
        "scoring": {},
        "train_stats": {},
        "datastore": list_images(store, "stats"),
    }


def is_here(request: Request) -> bool:
    """Return whether a client runs on this machine."""
    return request.client is not None and request.client.host in ("127.0.0.1", "::1")


def place_of(service: Service, image: Image) -> dict[str, str]:
    """Return where the file of an image lies, for a client that can read it itself; nothing where it is no one file."""
    if not image.root or image.slices:
        return {}
    return {"path": str(service.library.roots.path(image.root, image.path))}


def list_images(store: Datastore, output: str) -> dict[str, Any]:
    """Return images and labels, or how many there are."""
    images = store.images()
    tags: dict[str, int] = {}
    objects = {}
    for name, image in images.items():
        labels = {tag: {"ext": label.ending, "info": {}} for tag, label in store.labels(name).items()}
        for tag in labels:
            tags[tag] = tags.get(tag, 0) + 1
        objects[name] = {"image": {"ext": image.ending, "info": {}}, "labels": labels}
    if output == "stats":
        return {"total": len(images), "completed": tags.get(FINAL, 0), "label_tags": tags}
    if output == "train":
        return {"name": "prosect", "objects": {}}
    return {"name": "prosect", "description": "", "images_dir": "", "labels_dir": "", "objects": objects}


def add_images(router: APIRouter, service: Service, store: Datastore) -> None:
    """Add the images."""

    @router.api_route("/datastore/image", methods=["GET", "HEAD"])
    async def image(image: str) -> Response:
        path, name, clean_up = await blocking(image_file, service, store, image)
        return FileResponse(path, filename=name, media_type="application/octet-stream", background=clean_up)

    @router.get("/datastore/image/info")
    async def image_info() -> Response:
        return JSONResponse({})

    async def send(request: Request, image: str = "") -> Response:
        service.require_writing()
        form = await form_of(request, service)
        try:
            kept = await blocking(lambda: store.keep_image(image, form.take("file")))
        finally:
            form.delete()
        return JSONResponse({"image": kept})

    router.add_api_route("/datastore", send, methods=["PUT"])
    router.add_api_route("/datastore/image", send, methods=["PUT"])


def image_file(service: Service, store: Datastore, identity: str) -> tuple[Path, str, BackgroundTask | None]:
    """Return the file of an image, its name for the client, and what removes it afterwards.

    Raises:
        ProsectError: There is no such image (`IMAGE_UNKNOWN`), or it cannot be read.
    """
    image = store.images().get(identity, Image(identity, ".nii.gz", slices=True))
    if image.root and not image.slices:
        return service.library.roots.path(image.root, image.path), f"{identity}{image.ending}", None
    volume = store.open(identity).volume
    folder = Path(tempfile.mkdtemp(prefix="prosect-image-"))
    path = write(volume, folder / "image.nii.gz")
    return path, f"{identity}.nii.gz", BackgroundTask(shutil.rmtree, folder, ignore_errors=True)


def add_labels(router: APIRouter, service: Service, store: Datastore) -> None:
    """Add the labels."""

    @router.get("/datastore/label")
    async def label(label: str, tag: str = FINAL) -> Response:
        path = await blocking(store.label, label, tag)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    @router.get("/datastore/label/info")
    async def label_info() -> Response:
        return JSONResponse({})

    @router.put("/datastore/label")
    async def submit(request: Request, image: str, tag: str = FINAL) -> Response:
        service.require_writing()
        form = await form_of(request, service)
        try:
            kept = await blocking(submit_now, store, image, tag or FINAL, form)
        finally:
            form.delete()
        return JSONResponse({"image": image, "label": kept})


def submit_now(store: Datastore, image: str, tag: str, form: Form) -> str:
    """Keep a label that a client submits, and return its name."""
    said = parse_json(form.fields.get("params", ""), "params")
    sent = form.take("label")
    try:
        path, info = read_submitted(store.open(image), sent, said)
        return store.keep_label(image, tag, path, info)
    finally:
        shutil.rmtree(sent.parent, ignore_errors=True)


def add_sessions(router: APIRouter, service: Service) -> None:
    """Add sessions on scans that clients send."""
    seats, library = service.library.seats, service.library

    def begin(path: Path, name: str, expiry: int) -> Seat:
        end_forgotten(service, DIALECT)
        scan = library.keep_upload(path, name)
        live = service.begin(scan.entry.identity, dialect=DIALECT)
        return seats.take(DIALECT, session=live.entry.identity, about={"name": name, "expiry": expiry})

    def end(identity: str) -> Seat:
        service.require_writing()
        seat = seats.seat(identity, DIALECT)
        end_seat(service, seat)
        return seat

    @router.put("/session")
    async def create(request: Request, expiry: int = EXPIRY_S) -> Response:
        path, name = await receive(request, library.uploads, service.settings.max_upload_bytes)
        seat = await blocking(begin, path, name, expiry)
        return JSONResponse({"session_id": seat.identity, "session_info": session_info(seat)})

    @router.get("/session/{identity}")
    async def read(identity: str) -> Response:
        return JSONResponse(session_info(seats.seat(identity, DIALECT)))

    @router.delete("/session/{identity}")
    async def remove(identity: str) -> Response:
        return JSONResponse(session_info(await blocking(end, identity)))


def session_info(seat: Seat) -> dict[str, Any]:
    """Return what clients show of a session; never where its files lie."""
    when = int(seat.touched)
    name = str(seat.about.get("name", ""))
    return {
        "name": seat.identity,
        "path": "",
        "image": name,
        "meta": {},
        "create_ts": when,
        "last_access_ts": when,
        "expiry": seat.about.get("expiry", EXPIRY_S),
    }


def add_inference(router: APIRouter, service: Service, store: Datastore) -> None:
    """Add what asks the model."""

    @router.post("/infer/{model}")
    async def infer(request: Request, model: str, image: str = "", session_id: str = "", output: str = "") -> Response:
        said, form = await params_of(request, service)
        try:
            work = partial(infer_now, service, store, model=model, said=said, output=output)
            return await blocking(work, image=image, session_id=session_id, form=form)
        finally:
            if form is not None:
                form.delete()


async def params_of(request: Request, service: Service) -> tuple[dict[str, Any], Form | None]:
    """Return the parameters of a request, and its form where it is one."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        form = await form_of(request, service)
        try:
            return parse_json(form.fields.get("params", ""), "params"), form
        except FormatError:
            form.delete()
            raise
    return await json_of(request), None


def infer_now(
    service: Service,
    store: Datastore,
    *,
    model: str,
    said: Mapping[str, Any],
    output: str,
    image: str,
    session_id: str,
    form: Form | None,
) -> Response:
    """Ask the model and return its answer in the form that the client expects."""
    asked = read_request(model, said, service.shelf.clicker().vocabulary)
    session = session_for(service, store, image, session_id, client_of(said), form)
    if output == "dicom_seg":
        # Before the work: a scan that is no DICOM series has none.
        refuse_dicom(service.library.session(session).scan.volume, output)
    found = answer(service, session, asked)
    if output == "dicom_seg":
        with service.library.session(session).hold() as held:
            return Response(segmentation_of(held, found.names), media_type="application/dicom")
    params: dict[str, Any] = {"latencies": {"infer": round(found.seconds, 3)}, "notes": list(found.notes)}
    compress = flag_of(said, "result_compress", output != "image")
    ending = text_of(said, "result_extension", ".nrrd")
    with service.library.session(session).hold() as held:
        number = model_values if output == "image" else compact_values
        values, names = number(held, found.names)
        grid, header = held.volume.grid, held.volume.source.header
    params["label_names"] = names
    if output == "json":
        return JSONResponse(params)
    content = encode_labels(values, grid, names, ending, compress, header)
    if output == "image":
        return Response(content, media_type="application/octet-stream")
    body, kind = form_reply(params, f"label{ending}", content)
    return Response(body, headers={"Content-Type": kind})


def session_for(service: Service, store: Datastore, image: str, session_id: str, client: str, form: Form | None) -> str:
    """Return the session of a client on an image; one is begun where there is none yet.

    Raises:
        ProsectError: There is no such session or image, or neither is named (`PROMPT_EMPTY`).
    """
    seats = service.library.seats
    if session_id:
        return seats.seat(session_id, DIALECT).session
    if form is not None and "file" in form.files:
        scan = service.library.keep_upload(form.take("file"), image or "image")
        return begin_session(service, scan, {"name": image})
    if not image:
        raise PromptError("An image or a session is needed: image=ID or session_id=ID.", code="PROMPT_EMPTY")
    key = json.dumps([image, client])
    for seat in seats.of(DIALECT):
        if seat.about.get("key") == key:
            return seat.session
    return begin_session(service, store.open(image), {"name": image, "key": key})


def begin_session(service: Service, scan: OpenScan, about: Mapping[str, Any]) -> str:
    """Return a new session on a scan, which is remembered as that of a client."""
    end_forgotten(service, DIALECT)
    live = service.begin(scan.entry.identity, dialect=DIALECT)
    service.library.seats.take(DIALECT, session=live.entry.identity, about=about)
    return live.entry.identity


def client_of(said: Mapping[str, Any]) -> str:
    """Return who a client says it is; some say nothing, or null."""
    return text_of({"client_id": said.get("client_id") or ""}, "client_id")
