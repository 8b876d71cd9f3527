"""Start and end of the server: its socket, its threads, its address."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import quote

import uvicorn

import prosect
from prosect.errors import UsageError
from prosect.server.app import create_app
from prosect.server.deadlines import PunctualProtocol
from prosect.server.leaving import forget_old_uploads
from prosect.server.library import Library
from prosect.server.service import Service
from prosect.server.settings import Settings
from prosect.server.shelf import Shelf

__all__ = ["address", "free_port", "opened_socket", "running", "serve"]

BACKLOG = 128
# So long Python lets a thread compute while others wait for the interpreter. The event loop is one of those that wait,
# behind each thread that computes: at the usual 5 ms that may be a tenth of a second.
SWITCH_S = 0.0005
HEADER_BYTES = 16 * 1024
CONNECTIONS = 500


def opened_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UsageError: The port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"Port {port} is in use; take another one: --port {port + 1}, or --port 0.") from error
        raise UsageError(f"{host}:{port} cannot be listened on ({error.strerror}).") from error
    made.listen(BACKLOG)
    return made


def free_port(settings: Settings, listening: socket.socket) -> Settings:
    """Return the settings with the port that was taken where any was asked for."""
    return replace(settings, port=int(listening.getsockname()[1]))


def address(settings: Settings, path: str = "/") -> str:
    """Return the address of the page with its token, which stands behind `#` and so is never sent to a server."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{settings.port}{path}#t={quote(settings.token)}"


class AnnouncingServer(uvicorn.Server):
    """A server that tells pages of its end first: it would wait for their streams, which have no end of their own.

    Args:
        config: Of uvicorn.
        announce: Tells them.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that end a server; it was asked to end and has, so they are no failure afterwards."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell pages, then finish what runs."""
        self._announce()
        await super().shutdown(sockets)


def server_of(settings: Settings, shelf: Shelf) -> tuple[uvicorn.Server, Service]:
    """Return the server, not started yet, and its service."""
    service = Service(Library(settings, shelf, prosect.read, time.time, time.monotonic), time.monotonic)
    if not settings.read_only:
        forget_old_uploads(service.library)
    config = uvicorn.Config(
        create_app(service, time.monotonic, time.time),
        http=PunctualProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=8,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        lifespan="on",
    )
    return AnnouncingServer(config, service.announce_end), service


def serve(
    settings: Settings,
    shelf: Shelf,
    listening: socket.socket,
    browser: bool,
    prepare: Callable[[Service], str] | None = None,
) -> None:
    """Serve until the process is interrupted.

    Args:
        settings: What the server may do.
        shelf: Its models.
        listening: Its socket.
        browser: Whether to open the page.
        prepare: Called before anybody comes; returns the path of the page.
    """
    server, service = server_of(settings, shelf)
    sys.setswitchinterval(SWITCH_S)
    path = "/" if prepare is None else prepare(service)
    if browser:
        # The socket listens already, so the browser waits until the server answers.
        threading.Timer(0.5, webbrowser.open, [address(settings, path)]).start()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server.run(sockets=[listening])


@contextlib.contextmanager
def running(settings: Settings, shelf: Shelf) -> Iterator[tuple[Settings, Service]]:
    """Serve on a thread while the block runs; for tests, notebooks and scripts."""
    listening = opened_socket(settings.host, settings.port)
    settings = free_port(settings, listening)
    server, service = server_of(settings, shelf)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="prosect-server")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield settings, service
    finally:
        server.should_exit = True
        thread.join(15)
        listening.close()
