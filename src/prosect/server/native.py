"""Our own protocol, `/api/v1`: JSON in, JSON or a delta out. It translates; `Service` decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from prosect.boxes import Box
from prosect.errors import PromptError
from prosect.server.answers import describe_server, job_json, kind_of, scan_json
from prosect.server.bodies import (
    AppearanceBody,
    ClickBody,
    DraftBody,
    OpenBody,
    Problem,
    RenameBody,
    SaveBody,
    SessionBody,
    ShapeBody,
    StrokeBody,
    StructureBody,
    TrainingSetBody,
)
from prosect.server.brush import Stroke
from prosect.server.clicking import Click
from prosect.server.drawing import Shape
from prosect.server.exports import export
from prosect.server.foreign import StrictRoute
from prosect.server.leaving import forget_old_uploads
from prosect.server.service import Service
from prosect.server.travelling import DeltaResponse, packed, travels
from prosect.server.uploads import receive

__all__ = ["LARGE", "native"]

Result = TypeVar("Result")
Revision = Annotated[int | None, Header(alias="X-Revision", ge=0)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=100)]
LastEvent = Annotated[int | None, Header(alias="Last-Event-ID", ge=0)]
HEARTBEAT_S = 15.0
PROBLEM = {"description": "A refusal", "content": {"application/problem+json": {"schema": Problem.model_json_schema()}}}
# What may be answered everywhere: a refusal, and that the server lacks something for the moment.
REFUSALS: dict[int | str, dict[str, Any]] = {"4XX": PROBLEM, "503": PROBLEM, "507": PROBLEM}
LARGE = (r"/api/v1/uploads", r"/api/v1/models", r"/api/v1/sessions/[^/]+/masks")


def native(service: Service) -> APIRouter:
    """Return the routes of `/api/v1`."""
    router = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=REFUSALS)
    add_files(router, service)
    add_scans(router, service)
    add_sessions(router, service)
    add_reading(router, service)
    add_prompts(router, service)
    add_edits(router, service)
    add_drafts(router, service)
    add_results(router, service)
    return router


async def blocking(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """Call what blocks on a thread of its own, so that other requests go on."""
    return await to_thread.run_sync(partial(function, *args, **options))


def add_files(router: APIRouter, service: Service) -> None:
    """Add what concerns the server as a whole and its files."""

    @router.get("/capabilities")
    async def capabilities() -> dict[str, Any]:
        """Say what this server can do."""
        return await blocking(describe_server, service)

    @router.get("/files")
    async def files(root: str | None = None, path: str = "") -> dict[str, Any]:
        """List the roots, or what lies in a folder below one."""
        if root is None:
            roots = [
                {"name": name, "kind": kind_of(name, folder)} for name, folder in service.library.roots.kinds().items()
            ]
            return {"roots": roots, "entries": []}
        found = await blocking(service.library.roots.entries, root, path)
        rows = [{"name": each.name, "kind": kind_of(each.name, each.folder), "bytes": each.size} for each in found]
        return {"root": root, "path": path, "entries": rows}


def add_scans(router: APIRouter, service: Service) -> None:
    """Add what concerns scans."""

    @router.post("/scans", status_code=201)
    async def open_scan(body: OpenBody) -> dict[str, Any]:
        """Open a scan below a root."""
        scan = await blocking(service.open_scan, body.root, body.path, body.series)
        return scan_json(scan)

    @router.post("/uploads", status_code=201)
    async def upload(request: Request, series: str | None = None) -> dict[str, Any]:
        """Take a scan: one file as the body with its name in `X-Filename`, or a DICOM folder as multipart `files`."""
        service.require_writing()
        await blocking(forget_old_uploads, service.library)
        path, name = await receive(request, service.library.uploads, service.settings.max_upload_bytes)
        scan = await blocking(service.keep_upload, path, name, series)
        return scan_json(scan)

    @router.get("/scans/{scan_id}")
    async def scan_of(scan_id: str) -> dict[str, Any]:
        """Say what a scan is."""
        return scan_json(await blocking(service.library.scan, scan_id))

    @router.delete("/scans/{scan_id}", status_code=204)
    async def forget(scan_id: str) -> None:
        """Let go of a scan on which no session works."""
        await blocking(service.forget_scan, scan_id)

    @router.get("/scans/{scan_id}/view.nii")
    async def view(scan_id: str, request: Request) -> Response:
        """Return the display copy of a scan."""
        scan = await blocking(service.library.scan, scan_id)
        tag = f'"{scan.entry.sha256}"'
        headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        chunks = scan.nifti()
        if travels(request.scope):
            chunks = packed(chunks)
            headers["Content-Encoding"] = "gzip"
        else:
            headers["Content-Length"] = str(await blocking(scan.nifti_size))
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


def add_sessions(router: APIRouter, service: Service) -> None:
    """Add what concerns sessions as a whole."""

    @router.post("/sessions", status_code=201)
    async def begin(body: SessionBody) -> dict[str, Any]:
        """Begin a session on a scan."""
        live = await blocking(service.begin, body.scan_id, body.overlap, body.near_miss_mm)
        return await blocking(live.state)

    @router.get("/sessions")
    async def sessions() -> dict[str, Any]:
        """List the sessions, the newest first."""
        rows = []
        for entry in service.library.sessions():
            scan = service.library.scan_entry(entry.scan)
            rows.append(
                {
                    "session_id": entry.identity,
                    "scan_id": entry.scan,
                    "scan": "" if scan is None else scan.name,
                    "dialect": entry.dialect,
                    "created": entry.created,
                }
            )
        return {"sessions": rows}

    @router.get("/sessions/{session_id}")
    async def state(session_id: str) -> dict[str, Any]:
        """Say what a session holds."""
        return await blocking(lambda: service.session(session_id).state())

    @router.delete("/sessions/{session_id}", status_code=204)
    async def end(session_id: str) -> None:
        """End a session and delete its journal."""
        await blocking(service.end, session_id)


def add_reading(router: APIRouter, service: Service) -> None:
    """Add what tells of a session's labels and clicks, and of what happens to it."""

    @router.get("/sessions/{session_id}/labels", response_class=DeltaResponse)
    async def labels(session_id: str, box: str | None = None, tight: bool = False) -> DeltaResponse:
        """Return the labels of a box `i0,j0,k0,i1,j1,k1` of the scan as stored, or of all of it."""
        return DeltaResponse(await blocking(service.labels, session_id, parse_box(box), tight))

    @router.get("/sessions/{session_id}/events")
    async def events(session_id: str, request: Request, last: LastEvent = None) -> StreamingResponse:
        """Tell what happens to a session, as server-sent events; with `Last-Event-ID` also what was missed."""
        live = await blocking(service.session, session_id)
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1000)
        loop = asyncio.get_running_loop()

        def tell(event: Any) -> None:
            with suppress(RuntimeError):  # the loop has ended, and who listened with it
                loop.call_soon_threadsafe(put_if_room, queue, event)

        stop = live.listen(tell)
        if last is not None:
            missed = await blocking(service.missed, session_id, last)
            tell({"event": "here"} if missed is None else missed)
        return StreamingResponse(
            event_lines(queue, request), media_type="text/event-stream", background=BackgroundTask(stop)
        )

    @router.get("/sessions/{session_id}/clicks")
    async def clicks(session_id: str) -> dict[str, Any]:
        """List the clicks that count, in order."""
        return {"clicks": await blocking(lambda: service.session(session_id).clicks())}

    @router.get("/sessions/{session_id}/suggest", responses={204: {"description": "Network and masks agree"}})
    async def suggest(session_id: str, structure: str | None = None) -> Response:
        """Say where a click would tell most; nothing where network and masks agree."""
        found = await blocking(service.suggest, session_id, structure)
        if found is None:
            return Response(status_code=204)
        return Response(json.dumps(asdict(found)), media_type="application/json")


def add_prompts(router: APIRouter, service: Service) -> None:
    """Add what a person draws on a scan."""

    @router.post("/sessions/{session_id}/clicks", response_class=DeltaResponse)
    async def click(session_id: str, body: ClickBody, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Correct a structure where a person clicked."""
        made = Click(body.structure, body.position, body.space, body.positive, body.voxel)
        return DeltaResponse(await blocking(service.click, session_id, made, revision, key))

    @router.post("/sessions/{session_id}/strokes", response_class=DeltaResponse)
    async def stroke(session_id: str, body: StrokeBody, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Add or remove the voxels under a brush."""
        made = Stroke(body.structure, tuple(map(tuple, body.path)), body.radius_mm, body.axis, body.kind == "erase")
        return DeltaResponse(await blocking(service.paint, session_id, made, revision, key))

    @router.post("/sessions/{session_id}/shapes", response_class=DeltaResponse)
    async def shape(session_id: str, body: ShapeBody, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Correct a structure by a box or a lasso, which become clicks."""
        made = Shape(body.structure, body.kind, tuple(map(tuple, body.path)), body.axis, body.positive)
        return DeltaResponse(await blocking(service.draw, session_id, made, revision, key))


def add_edits(router: APIRouter, service: Service) -> None:
    """Add what changes structures without a model."""

    @router.post("/sessions/{session_id}/undo", response_class=DeltaResponse)
    async def undo(session_id: str, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Take the last action back."""
        return DeltaResponse(await blocking(service.undo, session_id, revision, key))

    @router.post("/sessions/{session_id}/redo", response_class=DeltaResponse)
    async def redo(session_id: str, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Do again what was undone last."""
        return DeltaResponse(await blocking(service.redo, session_id, revision, key))

    @router.post("/sessions/{session_id}/clear", response_class=DeltaResponse)
    async def clear(session_id: str, body: StructureBody, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Empty a structure."""
        return DeltaResponse(await blocking(service.clear, session_id, body.structure, revision, key))

    @router.put("/sessions/{session_id}/structures/{name:path}")  # names may hold a slash
    async def appearance(session_id: str, name: str, body: AppearanceBody) -> dict[str, Any]:
        """Lock, show, hide or colour a structure."""
        if body.locked is not None:
            await blocking(service.lock, session_id, name, body.locked)
        if body.colour is not None or body.visible is not None:
            await blocking(service.appearance, session_id, name, body.colour, body.visible)
        return await blocking(lambda: service.session(session_id).state())

    @router.post("/sessions/{session_id}/rename", response_class=DeltaResponse)
    async def rename(session_id: str, body: RenameBody, revision: Revision = None, key: Key = None) -> DeltaResponse:
        """Call a structure something else."""
        return DeltaResponse(await blocking(service.rename, session_id, body.structure, body.name, revision, key))


def add_drafts(router: APIRouter, service: Service) -> None:
    """Add whole masks: those that a model drafts, and those of a file."""

    @router.post("/sessions/{session_id}/draft", status_code=202)
    async def draft(session_id: str, body: DraftBody) -> dict[str, Any]:
        """Begin to draft structures; events tell how far it is."""
        names = None if body.structures == "everything" else body.structures
        job = await blocking(service.draft, session_id, body.model, names)
        return job_json(job, service)

    @router.post("/sessions/{session_id}/masks", response_class=DeltaResponse)
    async def masks(session_id: str, request: Request, structures: str | None = None) -> DeltaResponse:
        """Take the masks of a label file, the body, as drafts."""
        service.require_writing()
        path, _ = await receive(request, service.library.uploads, service.settings.max_upload_bytes)
        names = None if structures is None else structures.split("|")
        return DeltaResponse(await blocking(service.start_from_file, session_id, path, names))

    @router.get("/jobs/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        """Say how far a job is."""
        return job_json(service.jobs.find(job_id), service)

    @router.delete("/jobs/{job_id}", status_code=202)
    async def cancel(job_id: str) -> dict[str, Any]:
        """Ask a job to stop before its next window."""
        found = service.jobs.find(job_id)
        found.cancel()
        return job_json(found, service)


def add_results(router: APIRouter, service: Service) -> None:
    """Add what gives results out."""

    @router.get("/sessions/{session_id}/export")
    async def download(session_id: str, format: str = "nii.gz") -> Response:
        """Return the session's labels as a file."""
        made = await blocking(export, service.session(session_id), format)
        return FileResponse(made.path, filename=made.name, media_type=made.media_type, background=made.clean_up)

    @router.post("/sessions/{session_id}/save")
    async def save(session_id: str, body: SaveBody) -> dict[str, Any]:
        """Save the session's labels below the output root."""
        return {"files": await blocking(service.save, session_id, body.output, body.format)}

    @router.post("/training-sets", status_code=201)
    async def training_set(body: TrainingSetBody) -> dict[str, Any]:
        """Write scans and labels of sessions below the output root, for `prosect finetune`."""
        made = await blocking(service.write_training_set, body.output, body.sessions, body.structures)
        return {
            "scans": made.scans,
            "classes": list(made.classes),
            "left_out": list(made.left_out),
            "command": made.command(body.output),
        }

    @router.post("/models", status_code=201)
    async def model(request: Request) -> dict[str, Any]:
        """Offer a model for drafts: its weights are the body, its file's name is in `X-Filename`."""
        service.require_writing()
        path, name = await receive(request, service.library.uploads, service.settings.max_upload_bytes)
        await blocking(service.add_model, path, name)
        return {"model": name, "models": await blocking(service.shelf.drafters)}


def put_if_room(queue: asyncio.Queue[Any], event: Any) -> None:
    """Put an event into a queue; a page that reads none loses them, and fetches the labels again when it is back."""
    if not queue.full():
        queue.put_nowait(event)


async def event_lines(queue: asyncio.Queue[Any], request: Request) -> AsyncIterator[bytes]:
    """Yield events as server-sent events, and a comment now and then that keeps the connection open."""
    yield b": connected\n\n"
    while True:
        try:
            event = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
        except TimeoutError:
            yield b": still here\n\n"
            continue
        kind = str(event["event"])
        identity = f"id: {event['revision']}\n" if "revision" in event else ""
        yield f"{identity}event: {kind}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        if kind == "bye" or await request.is_disconnected():
            return


def parse_box(text: str | None) -> Box | None:
    """Return a box from six numbers.

    Raises:
        PromptError: They are no box (`REQUEST_INVALID`).
    """
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
        i, j, k, a, b, c = numbers
    except ValueError as error:
        raise PromptError(f"A box is i0,j0,k0,i1,j1,k1; found {text!r:.60}.", code="REQUEST_INVALID") from error
    if min(numbers) < 0 or not (i < a and j < b and k < c):
        raise PromptError(f"The box {text!r:.60} is empty or reaches below 0.", code="REQUEST_INVALID")
    return Box((i, j, k), (a, b, c))
