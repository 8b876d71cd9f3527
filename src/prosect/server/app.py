"""The web application: routes, errors as problem+json, the page, and the guard around all of it."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

import prosect
from prosect.errors import CancelledError, ProsectError
from prosect.server import dls, monailabel, nninteractive
from prosect.server.guard import App, Guard, Receive, Scope, Send
from prosect.server.native import LARGE, native
from prosect.server.nim import nim
from prosect.server.operations import add_operations
from prosect.server.recording import Recorder
from prosect.server.request_log import LOG_NAME, RequestLog
from prosect.server.service import Service
from prosect.server.wire import problem_of, refusal_of

__all__ = ["ROUTERS", "create_app"]

PROBLEM = "application/problem+json"
# More than can wait for their turn at the model, so that who waits for one session keeps nobody else out.
THREADS = 256
HTTP_CODES = {404: "NOT_FOUND", 408: "REQUEST_SLOW", 413: "INPUT_TOO_LARGE"}
OURS = ("/api/", "/assets/")
PAGE_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}

ROUTERS: Mapping[str, Callable[[Service], APIRouter]] = {
    "native": native,
    "nim": nim,
    "monailabel": monailabel.monailabel,
    "nninteractive": nninteractive.nninteractive,
    "dls": dls.dls,
}


def create_app(service: Service, clock: Callable[[], float], now: Callable[[], float]) -> App:
    """Return the whole server as an ASGI application.

    Args:
        service: What it serves.
        clock: Seconds that only grow.
        now: Seconds since 1970.
    """
    log = RequestLog(service.settings.work / LOG_NAME)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        await to_thread.run_sync(service.stop)
        await to_thread.run_sync(log.close)

    app = FastAPI(
        title="prosect",
        version=prosect.__version__,
        description="Sessions on 3D medical scans: drafts, clicks, undo, export. Research use only.",
        lifespan=lifespan,
        redoc_url=None,
        docs_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
    )
    add_problems(app)
    dialect_of: dict[str, str] = {}
    for dialect in service.settings.dialects:
        router = ROUTERS[dialect](service)
        app.include_router(router)
        dialect_of |= {route.path: dialect for route in router.routes if isinstance(route, APIRoute)}
    add_operations(app, service, log)
    add_page(app)
    guarded = Guard(
        without_last_slash(app), service.settings, clock, (*LARGE, *dls.LARGE, *monailabel.LARGE, *nninteractive.LARGE)
    )
    return Recorder(guarded, dialect_of, service.metrics, log.add, now, clock)


def without_last_slash(app: App) -> App:
    """Return an application to which `/info/` is `/info`; clients do not follow a redirected upload."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if scope["type"] == "http" and len(path) > 1 and path.endswith("/") and not path.startswith(OURS):
            scope["path"] = path.rstrip("/") or "/"
            scope["raw_path"] = scope["path"].encode()
        await app(scope, receive, send)

    return call


def add_problems(app: FastAPI) -> None:
    """Answer every error as problem+json, with the code that the command line gives."""

    @app.exception_handler(ProsectError)
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ProsectError)
        problem = problem_of(error, 499 if isinstance(error, CancelledError) else None)
        headers = {"Retry-After": "5"} if problem["status"] in (429, 503) else None
        return JSONResponse(problem, problem["status"], headers, media_type=PROBLEM)

    @app.exception_handler(OSError)
    async def unwritable(request: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        known = refusal_of(error)
        if known is None:
            raise error
        return await refused(request, known)

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = {
            "type": "about:blank",
            "title": "Request not understood",
            "status": 422,
            "detail": f"{where}: {first['msg']}",
            "code": "REQUEST_INVALID",
        }
        return JSONResponse(problem, 422, media_type=PROBLEM)

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = {
            "type": "about:blank",
            "title": "Refused",
            "status": error.status_code,
            "detail": str(error.detail),
            "code": HTTP_CODES.get(error.status_code, "REQUEST_INVALID"),
        }
        return JSONResponse(problem, error.status_code, dict(error.headers or {}), media_type=PROBLEM)


def add_page(app: FastAPI) -> None:
    """Serve the page from the package's own files."""

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return asset(request, "index.html")

    @app.get("/assets/{name:path}", include_in_schema=False)
    async def assets(request: Request, name: str) -> Response:
        return asset(request, name)


def asset(request: Request, name: str) -> Response:
    """Return a file of the page, or 404; only names that the package holds exist."""
    files = page_files()
    if name not in files:
        raise HTTPException(404, "There is no such file.")
    content, tag = files[name]
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    ending = name[name.rfind(".") :]
    kind = PAGE_TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers=headers)


@cache
def page_files() -> dict[str, tuple[bytes, str]]:
    """Return the files of the page with their tags, read once."""
    found: dict[str, tuple[bytes, str]] = {}

    def collect(folder: Any, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                collect(entry, f"{prefix}{entry.name}/")
            elif not entry.name.endswith((".py", ".pyc")):
                content = entry.read_bytes()
                found[prefix + entry.name] = (content, f'"{hashlib.sha256(content).hexdigest()[:24]}"')

    collect(resources.files("prosect.server").joinpath("page"), "")
    return found
