"""The protocol of NVIDIA's VISTA-3D NIM, as its documentation has it. It translates; nothing else.

It keeps nothing: each request names a scan and gets one file of labels in a zip.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask

import prosect
from prosect.errors import FormatError, PromptError
from prosect.io.writing import write
from prosect.labelmap import LabelLayers, LabelMap
from prosect.progress import Watch
from prosect.prompts import Click, click_at
from prosect.server.fetching import fetch
from prosect.server.foreign import blocking, json_of, text_of
from prosect.server.paths import output_path
from prosect.server.scans import OpenScan
from prosect.server.service import Service
from prosect.vocabulary import Vocabulary

__all__ = ["nim"]

NAME = "vista3d"
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
MAX_POINTS = 1000
READY_S = 50.0  # for which a client that asks whether the model is ready is kept waiting


@dataclass(frozen=True)
class Request3d:
    """What is asked of a scan.

    Attributes:
        classes: Structures to find; None where all are wanted.
        points: Voxels (i j k) that belong to a structure, by its name; none are negative.
    """

    classes: tuple[str, ...] | None
    points: Mapping[str, tuple[tuple[float, float, float], ...]]


def nim(service: Service) -> APIRouter:
    """Return the routes of the protocol."""
    router = APIRouter(prefix="/v1", include_in_schema=False)

    @router.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "live"})

    @router.get("/health/ready")
    async def ready() -> Response:
        # Clients ask until it is, with no pause worth the name, so they are kept a little.
        reason = await blocking(service.readiness.wait, READY_S)
        if reason:
            return JSONResponse({"status": "not ready", "reason": reason}, 503)
        return JSONResponse({"status": "ready"})

    @router.get("/license")
    async def licence() -> Response:
        text = await blocking(lambda: service.shelf.licence)
        return JSONResponse({"name": text.splitlines()[0] if text else "", "path": None, "content": text})

    @router.get(f"/{NAME}/info")
    async def info() -> Response:
        return JSONResponse(await blocking(describe, service))

    @router.post(f"/{NAME}/inference")
    async def inference(request: Request) -> Response:
        return await blocking(infer, service, await json_of(request))

    return router


def describe(service: Service) -> dict[str, Any]:
    """Return what the model knows."""
    model = service.shelf.clicker()
    labels = {str(each.index): each.name for each in model.vocabulary if each.status == "supported"}
    return {"name": NAME, "version": prosect.__version__, "labels": labels, "model": dict(model.identity)}


def infer(service: Service, said: Mapping[str, Any]) -> Response:
    """Return a zip with the labels that were asked for.

    Raises:
        ProsectError: The scan is not offered, or what is asked cannot be honoured.
    """
    asked = read_prompts(said.get("prompts"), service.shelf.clicker().vocabulary)
    image = text_of(said, "image")
    scan = find_scan(service, image)
    try:
        return answer(service, said, scan, asked)
    finally:
        if is_address(image):  # nothing is kept of what was fetched
            service.library.forget_scan(scan.entry.identity)


def answer(service: Service, said: Mapping[str, Any], scan: OpenScan, asked: Request3d) -> Response:
    """Return a zip with the labels of a scan; see `infer`."""
    ending = ending_for(said.get("output"), scan)
    copy = copy_target(service, said.get("local_working_dir"))
    job = service.device.submit("nim", lambda watch: label(service, scan, asked, watch), kind="draft", urgent=False)
    labels = job.result()
    folder = Path(tempfile.mkdtemp(prefix="prosect-nim-"))
    clean_up = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        stem = Path(scan.entry.name).name.split(".")[0] or "scan"
        path = write(labels, folder / f"{stem}_seg{ending}", like=scan.volume)
        if copy is not None:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / path.name)
        packed = folder / "result.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            archive.write(path, path.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(packed, media_type="application/zip", background=clean_up)


def read_prompts(prompts: Any, vocabulary: Vocabulary) -> Request3d:
    """Return what is asked for; no prompts ask for everything.

    Raises:
        PromptError: A key, a structure or a point cannot be honoured.
    """
    if not prompts:
        return Request3d(None, {})
    if not isinstance(prompts, dict):
        raise PromptError("prompts: an object with `classes`, `points` or both is needed.", code="PROMPT_KEYS")
    unknown = [key for key in prompts if key not in ("classes", "points")]
    if unknown:
        raise PromptError(f"prompts: there is no '{unknown[0]:.40}'; use `classes` and `points`.", code="PROMPT_KEYS")
    classes = prompts.get("classes") or []
    given = prompts.get("points") or {}
    if not isinstance(classes, list) or not all(isinstance(each, str | int) for each in classes):
        raise PromptError("prompts.classes: a list of names or indices is needed.", code="PROMPT_KEYS")
    if not isinstance(given, dict):
        raise PromptError("prompts.points: an object of lists of voxels is needed.", code="PROMPT_KEYS")
    points = {}
    for key, voxels in given.items():
        known = vocabulary.get(int(key) if key.isdecimal() and len(key) < 6 else key)
        name = key if known is None else known.name
        points[name] = read_voxels(name, voxels)
    if not classes and not points:
        return Request3d(None, {})
    names: tuple[str, ...] = ()
    if classes:
        names = tuple(vocabulary[index].name for index in vocabulary.resolve(classes).indices)
    return Request3d(names, points)


def read_voxels(name: str, voxels: Any) -> tuple[tuple[float, float, float], ...]:
    """Return a list of voxels (i j k).

    Raises:
        PromptError: It is none (`PROMPT_KEYS`).
    """
    found = []
    for voxel in voxels[:MAX_POINTS] if isinstance(voxels, list) else [voxels]:
        plain = isinstance(voxel, list) and len(voxel) == 3 and all(type(each) in (int, float) for each in voxel)
        if not plain or any(abs(each) > 1e9 for each in voxel):
            raise PromptError(f"prompts.points['{name:.40}']: voxels [i, j, k] are needed.", code="PROMPT_KEYS")
        i, j, k = (float(each) for each in voxel)
        found.append((i, j, k))
    return tuple(found)


def label(service: Service, scan: OpenScan, asked: Request3d, watch: Watch) -> LabelMap | LabelLayers:
    """Return the labels of a scan: structures that the model finds, corrected by points where there are any."""
    shelf = service.shelf
    vocabulary = shelf.clicker().vocabulary
    clicked = [name for name in asked.points if vocabulary.get(name) is not None and vocabulary[name].supported]
    names = None if asked.classes is None else [*asked.classes, *(n for n in clicked if n not in asked.classes)]
    if not asked.points:
        return shelf.draft(shelf.keys[0], scan.volume, names, watch)
    session = shelf.clicker().session(scan.volume)
    if names is None or names:
        draft = shelf.draft(shelf.keys[0], scan.volume, names, watch)
        if draft.present:
            session.start_from(draft, watch=watch)
    grid = scan.volume.grid
    for name, voxels in asked.points.items():
        clicks: list[Click] = [click_at(voxel, grid, space="voxel") for voxel in voxels]
        session.set_clicks(name, clicks, watch=watch)
    return session.labels


def is_address(image: str) -> bool:
    """Return whether a scan is said to lie on another server."""
    try:
        parts = urlsplit(image)
    except ValueError:
        return True
    return parts.scheme not in ("", "file", "upload") or bool(parts.netloc)


def find_scan(service: Service, image: str) -> OpenScan:
    """Return the scan that a request names: below a root, sent before by the native protocol, or at an allowed address.

    Raises:
        ProsectError: It is an address elsewhere or a path below no root (`PATH_FORBIDDEN`), or nothing is there.
    """
    library = service.library
    if image.startswith("upload:"):
        return library.scan(image.removeprefix("upload:"))
    if is_address(image):
        settings = service.settings
        return library.keep_upload(*fetch(image, settings.url_hosts, library.uploads, settings.max_upload_bytes))
    parts = urlsplit(image)
    path = unquote(parts.path) if parts.scheme == "file" else image
    if not path.startswith("/"):
        root, _, relative = path.partition("/")
        return library.open_scan(root, relative)
    root_and_rest = library.roots.split(path)
    if root_and_rest is None:
        raise FormatError("This path lies below none of the folders that the server offers.", code="PATH_FORBIDDEN")
    return library.open_scan(*root_and_rest)


def ending_for(output: Any, scan: OpenScan) -> str:
    """Return the ending of the result: what is asked for, else that of the scan's own format.

    Raises:
        FormatError: It is none that is written (`OUTPUT_FORMAT`).
    """
    wanted = output.get("extension") if isinstance(output, dict) else None
    if wanted is not None:
        if wanted not in ENDINGS:
            known = ", ".join(ENDINGS)
            raise FormatError(f"output.extension: '{wanted!s:.20}' is none of {known}.", code="OUTPUT_FORMAT")
        return str(wanted)
    own = scan.volume.source.format
    return {"nifti": ".nii.gz", "metaimage": ".mha"}.get(own, ".nrrd")


def copy_target(service: Service, folder: Any) -> Path | None:
    """Return where a client wants a copy of the result, or None.

    Raises:
        FormatError: It does not lie below the output root, or there is none (`PATH_FORBIDDEN`).
    """
    if folder is None:
        return None
    root = service.settings.output_root
    if root is None or not isinstance(folder, str):
        raise FormatError("This server saves no files; start it with --output-root.", code="PATH_FORBIDDEN")
    base = root.resolve()
    if not Path(folder).is_relative_to(base):
        raise FormatError("local_working_dir lies outside the output root.", code="PATH_FORBIDDEN")
    relative = str(Path(folder).relative_to(base))
    return base if relative == "." else output_path(base, relative)
