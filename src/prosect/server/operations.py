"""What those who run a server ask: whether it lives, whether it can be sent work, and what it measures."""

from __future__ import annotations

from pathlib import Path

import psutil
from anyio import to_thread
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from prosect.server.request_log import RequestLog
from prosect.server.service import Service

__all__ = ["add_operations", "gauges"]


def add_operations(app: FastAPI, service: Service, log: RequestLog) -> None:
    """Add `/healthz`, `/readyz` and `/metrics`."""

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        service.readiness.begin()  # asked here, not on a thread: all of those may be busy
        reason = service.readiness.reason
        if reason:
            return JSONResponse({"ready": False, "reason": reason}, 503, {"Retry-After": "5"})
        return JSONResponse({"ready": True})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        measured = await to_thread.run_sync(gauges, service)
        text = service.metrics.text({**measured, "log_lines_lost": log.lost})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def gauges(service: Service) -> dict[str, float]:
    """Return what is measured now; no names and no paths."""
    library = service.library
    live = sum(each.is_live for each in library.live())
    return {
        "sessions_live": live,
        "sessions_suspended": len(library.sessions()) - live,
        "queue_length": service.device.waiting,
        "scan_bytes": library.scans.held_bytes,
        "memory_planned_bytes": library.planned_bytes,
        "memory_used_bytes": psutil.Process().memory_info().rss,
        "journal_bytes": sum(size_of(path) for path in library.journals.iterdir()),
    }


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 of one that was deleted meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
