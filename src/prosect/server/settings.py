"""What a server is told at its start."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prosect.errors import FormatError, UsageError

__all__ = ["DIALECTS", "Settings", "new_token", "read_token"]

DIALECTS = ("native", "nim", "monailabel", "nninteractive", "dls")
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
GIB = 1 << 30
MIN_TOKEN = 16
SAME_AXIS = str.maketrans("LAS", "RPI")


@dataclass(frozen=True)
class Settings:
    """What a server may do, and for whom.

    Attributes:
        work: Folder of uploads, journals and the index; made with access for its owner only.
        roots: Folders and files that are offered, by name.
        labels: Label files that a session on a scan begins with, by the scan's path and the series that was asked for.
        token: What every client must know.
        dialect_token: The same for other viewers, valid for their paths only, as it travels in addresses.
        host: Address to listen on.
        port: TCP port.
        dialects: Protocols that are spoken.
        hosts: Further names by which the server is called (`Host`).
        origins: Web pages of others that may call it (`Origin`).
        output_root: Folder below which results may be saved; None where they are only downloaded.
        read_only: Whether nothing may be changed.
        max_sessions: Sessions that are held in memory at once.
        memory_bytes: What scans and sessions together may take.
        max_upload_bytes: Largest upload.
        max_voxels: Largest scan.
        nninteractive_axes: Where i, j, k of scans from nnInteractive's clients are taken to lead, as they do not say.
        share_paths: Whether MONAI Label's clients on this machine are told where a scan lies, so that they need not
            load it.
        url_hosts: Servers from which NIM's clients may have scans fetched.
        open_dls: Whether ITK-SNAP, which can send no token, needs none.
    """

    work: Path
    roots: Mapping[str, Path]
    token: str = field(repr=False)
    dialect_token: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    dialects: tuple[str, ...] = DIALECTS
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    output_root: Path | None = None
    read_only: bool = False
    max_sessions: int = 8
    memory_bytes: int = 8 * GIB
    max_upload_bytes: int = 4 * GIB
    max_voxels: int = 1_000_000_000
    nninteractive_axes: str = "LPS"
    share_paths: bool = False
    url_hosts: tuple[str, ...] = ()
    open_dls: bool = False
    labels: Mapping[tuple[Path, str | None], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.dialects if name not in DIALECTS]
        if unknown:
            raise UsageError(f"There is no dialect '{unknown[0]}'; known are: {', '.join(DIALECTS)}.")
        if sorted(self.nninteractive_axes.translate(SAME_AXIS)) != ["I", "P", "R"]:
            raise UsageError(
                f"'{self.nninteractive_axes:.20}' names no three axes; use one letter each of L or R, A or P, I or S."
            )
        if self.open_dls and not self.is_local:
            raise UsageError("--open-dls lets everybody in who reaches the server; it works on this machine only.")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"{self.port} is no TCP port; give 1 to 65535, or 0 for any that is free.")
        if len(self.token) < MIN_TOKEN:
            raise UsageError(f"The token has {len(self.token)} characters; at least {MIN_TOKEN} are needed.")

    @property
    def names(self) -> frozenset[str]:
        """What `Host` may say, in lower case, port included."""
        known = {name.lower() for name in (*LOOPBACK, *self.hosts)}
        with_port = {f"{name}:{self.port}" for name in known}
        # A name that was allowed by hand may stand behind a proxy that listens on the usual port.
        return frozenset(with_port | {name.lower() for name in self.hosts})

    @property
    def own_origins(self) -> frozenset[str]:
        """What `Origin` may say: the server's own pages, and those that were allowed."""
        own = {f"{scheme}://{name}" for name in self.names for scheme in ("http", "https")}
        return frozenset(own | {origin.rstrip("/").lower() for origin in self.origins})

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")


def new_token() -> str:
    """Return 256 random bits as text for an address."""
    return secrets.token_urlsafe(32)


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        FormatError: It cannot be read (`INPUT_NOT_FOUND`).
        UsageError: Others may read it, or it holds no token.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path.name}: the token cannot be read ({error}).", code="INPUT_NOT_FOUND") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path.name}: others can read this token; allow its owner only: chmod 600 {path.name}.")
    if not text:
        raise UsageError(f"{path.name}: the file is empty; a token is needed.")
    return text
