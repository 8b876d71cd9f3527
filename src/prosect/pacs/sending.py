"""Sending DICOM files to a node (C-STORE)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydicom import Dataset, dcmread
from pynetdicom import AE

from prosect.errors import OutputError, ResourceError, UsageError
from prosect.pacs.trust import Trust

__all__ = ["Node", "send"]

TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
TIMEOUT_S = 30.0
SUCCESS = 0x0000
# Warnings: the node kept the file, with attributes coerced or left out.
KEPT = (SUCCESS, 0xB000, 0xB006, 0xB007)


@dataclass(frozen=True)
class Node:
    """A node of DICOM's own network.

    Attributes:
        title: Its AE title.
        host: Its address.
        port: Its port.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the node of `TITLE=HOST:PORT`.

        Raises:
            UsageError: The text is none.
        """
        match = re.fullmatch(r"([^=]+)=(.+):(\d{1,5})", text)
        if match is None or not TITLE.fullmatch(match[1].strip()) or not 0 < int(match[3]) < 65536:
            raise UsageError(f"{text!r:.80} is no node; give TITLE=HOST:PORT, such as ORTHANC=127.0.0.1:4242.")
        return cls(match[1].strip(), match[2].strip("[]"), int(match[3]))


def send(paths: Sequence[Path], node: Node, own_title: str, trust: Trust | None = None) -> int:
    """Send files and return their number.

    Args:
        paths: DICOM files.
        node: Where to.
        own_title: Our AE title.
        trust: For TLS; None sends without.

    Raises:
        UsageError: A file of `trust` cannot be used.
        ResourceError: The node cannot be reached or does not accept us (`PACS_UNREACHABLE`).
        OutputError: It does not keep a file (`PACS_REFUSED`).
    """
    datasets = [dcmread(path) for path in paths]
    entity = AE(ae_title=own_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = TIMEOUT_S
    # Only what is sent: an association has room for 128 classes.
    for kind, syntax in sorted({(item.SOPClassUID, item.file_meta.TransferSyntaxUID) for item in datasets}):
        entity.add_requested_context(kind, syntax)
    tls = None
    if trust is not None:
        tls = (trust.sending(), node.host)
    association = entity.associate(node.host, node.port, ae_title=node.title, tls_args=tls)
    if not association.is_established:
        raise ResourceError(
            f"The node {node.title} at {node.host}:{node.port} cannot be reached or does not accept {own_title}. "
            "Check its list of known nodes, and over TLS the certificates of both.",
            code="PACS_UNREACHABLE",
        )
    try:
        for dataset in datasets:
            refuse_unkept(association.send_c_store(dataset), node)
    except RuntimeError as error:
        raise ResourceError(
            f"The node {node.title} closed the connection before all files were sent. Send them again.",
            code="PACS_UNREACHABLE",
        ) from error
    except ValueError as error:
        raise OutputError(f"The node {node.title} does not take this kind of object.", code="PACS_REFUSED") from error
    finally:
        association.release()
    return len(datasets)


def refuse_unkept(status: Dataset, node: Node) -> None:
    """Refuse an answer that says that a file was not kept.

    Raises:
        OutputError: `PACS_REFUSED`.
    """
    code = status.get("Status")
    if code not in KEPT:
        if code is None:
            what = "gave no answer"
        else:
            what = f"answered 0x{code:04X}"
        raise OutputError(
            f"The node {node.title} {what}; the file was not kept. Look into its log.", code="PACS_REFUSED"
        )
