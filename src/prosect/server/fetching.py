"""Scans at addresses of other servers: only from hosts that were allowed, and never from inside our own network.

A name is resolved once, and the connection goes to the address that was looked at: a name that answers differently the
second time leads nowhere. Redirects are not followed, because they would lead past these checks.
"""

from __future__ import annotations

import http.client
import ipaddress
import secrets
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from prosect.errors import FormatError
from prosect.server.uploads import client_name, ending_of, too_large

__all__ = ["Resolve", "fetch", "is_public"]

Resolve = Callable[[str], Sequence[str]]
Connect = Callable[[str, int, str, float], http.client.HTTPConnection]

PORT = 443
PATIENCE_S = 120.0  # for the whole file
SILENCE_S = 20.0
CHUNK = 1 << 20
INSIDE_V6 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses as IPv6 networks reach them


def resolve(host: str) -> list[str]:
    """Return the addresses of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, PORT, type=socket.SOCK_STREAM)]


class PinnedConnection(http.client.HTTPSConnection):
    """A connection to an address that was looked at, whose certificate must be that of the name.

    Args:
        host: The name.
        port: TCP port.
        address: Where it leads.
        timeout_s: Longest silence.
    """

    def __init__(self, host: str, port: int, address: str, timeout_s: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout_s, context=self._tls)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, whatever the name says now."""
        raw = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


def fetch(
    url: str,
    hosts: Sequence[str],
    folder: Path,
    max_bytes: int,
    *,
    look_up: Resolve = resolve,
    connect: Connect = PinnedConnection,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Path, str]:
    """Return where a file of another server was stored, in a folder of its own, and its name there.

    Args:
        url: Its address, `https` alone.
        hosts: Names of the servers that may be asked.
        folder: Where a folder for it is made.
        max_bytes: Largest file.
        look_up: Returns the addresses of a name.
        connect: Opens a connection to name, port and address.
        clock: Seconds that only grow.

    Raises:
        FormatError: The server was not allowed, or lies inside our own network (`PATH_FORBIDDEN`); it does not answer
            (`INPUT_UNREADABLE`), has no such file (`INPUT_NOT_FOUND`), or the file is too large (`INPUT_TOO_LARGE`).
    """
    host, port, target = parts_of(url, hosts)
    address = public_address(host, look_up)
    place = folder / secrets.token_hex(8)
    place.mkdir(mode=0o700)
    name = client_name(urlsplit(url).path)
    path = place / f"upload{ending_of(name)}"
    connection = connect(host, port, address, SILENCE_S)
    try:
        connection.request("GET", target, headers={"Accept-Encoding": "identity", "User-Agent": "prosect"})
        with connection.getresponse() as response:
            store(response, path, max_bytes, clock() + PATIENCE_S, clock)
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, OSError | http.client.HTTPException):
            cause = type(error).__name__
            raise FormatError(f"{host}: the file cannot be fetched ({cause}).", code="INPUT_UNREADABLE") from error
        raise
    finally:
        connection.close()
    return path, name


def public_address(host: str, look_up: Resolve) -> str:
    """Return the address of a host, all of whose addresses must be public ones: the system might take any.

    Raises:
        FormatError: One is not (`PATH_FORBIDDEN`), or there is none (`INPUT_UNREADABLE`).
    """
    try:
        addresses = look_up(host)
    except OSError as error:
        raise FormatError(f"{host}: this server is not found.", code="INPUT_UNREADABLE") from error
    if not addresses or not all(is_public(address) for address in addresses):
        raise FormatError(f"{host} leads into a private network; nothing is fetched there.", code="PATH_FORBIDDEN")
    return addresses[0]


def parts_of(url: str, hosts: Sequence[str]) -> tuple[str, int, str]:
    """Return host, port and target of an address.

    Raises:
        FormatError: It is none of a server that was allowed (`PATH_FORBIDDEN`).
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or PORT
    except ValueError as error:
        raise FormatError("This is no address.", code="PATH_FORBIDDEN") from error
    plain = parts.scheme == "https" and parts.username is None and parts.password is None
    if not plain or host not in {name.lower() for name in hosts}:
        raise FormatError(
            "This server fetches nothing from that address; name a file of its own, or start it with --allow-url-host.",
            code="PATH_FORBIDDEN",
        )
    target = parts.path or "/"
    if any(ord(character) < 33 or ord(character) > 126 for character in target + parts.query):
        raise FormatError("An address holds no spaces and no letters with accents; encode them.", code="PATH_FORBIDDEN")
    return host, port, f"{target}?{parts.query}" if parts.query else target


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet, also where it is written inside another."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return found.is_global and not found.is_multicast and not carries_another(found)


def carries_another(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address holds an IPv4 address, to which it leads on some systems."""
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return bool(address.ipv4_mapped or address.sixtofour or address.teredo) or address in INSIDE_V6


def store(
    response: http.client.HTTPResponse, path: Path, max_bytes: int, until: float, clock: Callable[[], float]
) -> None:
    """Write the body of an answer to a file, counting."""
    if response.status != 200:
        refused = 300 <= response.status < 400
        cause = "it leads elsewhere, which is not followed" if refused else f"the server answers {response.status}"
        raise FormatError(
            f"The file cannot be fetched: {cause}.", code="PATH_FORBIDDEN" if refused else "INPUT_NOT_FOUND"
        )
    written = 0
    with path.open("wb") as file:
        while chunk := response.read1(CHUNK):
            written += len(chunk)
            if written > max_bytes:
                raise too_large(written, max_bytes)
            if clock() > until:
                raise FormatError(f"The file did not come in {PATIENCE_S:.0f} seconds.", code="INPUT_UNREADABLE")
            file.write(chunk)
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) != written:
        raise FormatError(f"{written} of {announced} bytes of the file came.", code="UPLOAD_INCOMPLETE")
