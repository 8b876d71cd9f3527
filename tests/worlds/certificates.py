"""Certificates made on the spot: an authority, and nodes that it vouches for."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Authority"]


@dataclass(frozen=True)
class Authority:
    """An authority of its own, in a folder.

    Attributes:
        folder: Where its files lie.
        name: What it is called.
    """

    folder: Path
    name: str = "authority"

    @property
    def certificate(self) -> Path:
        """Its certificate; made when it is first asked for."""
        path = self.folder / f"{self.name}.pem"
        if not path.exists():
            self.folder.mkdir(exist_ok=True)
            openssl("req", "-x509", *KEY, "-keyout", self.folder / f"{self.name}.key", "-out", path, "-days", "2",
                    "-subj", f"/CN={self.name}", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        return path

    def node(self, name: str, host: str = "IP:127.0.0.1") -> Path:
        """Return certificate and key of a node at a host, in one file."""
        authority = self.certificate
        key, request, made = (self.folder / f"{name}.{ending}" for ending in ("key", "csr", "crt"))
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}",
                "-addext", f"subjectAltName={host}")  # fmt: skip
        signer = ("-CA", authority, "-CAkey", self.folder / f"{self.name}.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", request, *signer, "-out", made, "-days", "2", "-copy_extensions", "copy")
        both = self.folder / f"{name}.pem"
        both.write_bytes(made.read_bytes() + key.read_bytes())
        return both


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*words: object) -> None:
    """Run openssl; skip the test where it is not installed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
