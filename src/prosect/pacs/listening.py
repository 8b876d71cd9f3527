"""A node that receives series (C-STORE), segments those that a stated rule names, and sends the results back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from prosect.cohort.manifest import Scan
from prosect.cohort.worker import Worker
from prosect.errors import ProsectError, ResourceError
from prosect.pacs.inbox import Arrival, Inbox
from prosect.pacs.sending import Node, send
from prosect.pacs.trust import Trust

__all__ = ["Listening", "Told", "listen", "serve_forever", "serve_once"]

# Images of CT, MR and PET, classic and enhanced: what a scan can be made of.
CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.3", "4.4", "128", "128.1", "130")
)
SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLossless,
    JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless,
]  # fmt: skip
SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
MAX_PDU = 1 << 17
ASSOCIATIONS = 4
LOOK_S = 0.5


@dataclass(frozen=True)
class Listening:
    """How a node listens.

    Attributes:
        title: Its AE title; callers must call it so.
        host: Address to listen on.
        port: Port.
        callers: AE titles that may send; none lets everyone on that address in.
        modalities: The rule: series of these modalities are segmented, all others are put away.
        fewest: The rule: series of fewer files are put away, such as localizers.
        send_to: Where results go; None sends nothing.
        trust: For TLS of both; None listens and sends without.
    """

    title: str = "PROSECT"
    host: str = "127.0.0.1"
    port: int = 11112
    callers: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ("CT",)
    fewest: int = 10
    send_to: Node | None = None
    trust: Trust | None = None


@dataclass(frozen=True)
class Told:
    """What became of a series; nothing of the patient.

    Attributes:
        name: A hash that stands for the series.
        files: How many files it had.
        state: `segmented`, `sent`, `put away`, `refused`, or `failed` by a bug of ours.
        message: The reason, where there is one.
    """

    name: str
    files: int
    state: str
    message: str = ""


@contextmanager
def listen(how: Listening, inbox: Inbox) -> Iterator[int]:
    """Listen inside the block, and yield the port.

    Raises:
        ResourceError: The port cannot be had (`PORT_IN_USE`).
    """
    entity = AE(ae_title=how.title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(how.callers)
    entity.maximum_pdu_size = MAX_PDU
    entity.maximum_associations = ASSOCIATIONS
    entity.add_supported_context(Verification)
    for kind in CLASSES:
        entity.add_supported_context(kind, SYNTAXES)
    handlers: list[Any] = [(evt.EVT_C_STORE, keep, [inbox])]
    context = None if how.trust is None else how.trust.listening()
    try:
        server = entity.start_server((how.host, how.port), block=False, evt_handlers=handlers, ssl_context=context)
    except OSError as error:
        raise ResourceError(
            f"Port {how.port} of {how.host} cannot be listened on ({error.strerror}). Choose another.",
            code="PORT_IN_USE",
        ) from error
    # Without `block` there always is one.
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def keep(event: Any, inbox: Inbox) -> int:
    """Keep a file that arrives, and return the status for its sender."""
    dataset = event.dataset
    series, modality = str(dataset.get("SeriesInstanceUID", "")), str(dataset.get("Modality", ""))
    try:
        kept = inbox.add(series, str(event.request.AffectedSOPInstanceUID), modality, event.encoded_dataset())
    except ProsectError:
        kept = False
    if kept:
        return SUCCESS
    return OUT_OF_RESOURCES


def serve_once(how: Listening, inbox: Inbox, worker: Worker, tell: Callable[[Told], None]) -> int:
    """Deal with every series that is complete, and return how many there were."""
    done = inbox.take_complete()
    for arrival in done:
        try:
            told = outcome(how, arrival, worker)
        finally:
            inbox.release(arrival)
        tell(told)
    return len(done)


def outcome(how: Listening, arrival: Arrival, worker: Worker) -> Told:
    """Return what became of one series: segmented and sent back, put away by the rule, or refused by name."""
    if not arrival.files:
        return Told(arrival.folder.name, 0, "put away", "no file could be kept")
    name = arrival.folder.name
    if arrival.modality not in how.modalities or arrival.files < how.fewest:
        rule = f"the rule is {' or '.join(how.modalities)} of {how.fewest} files or more"
        return Told(name, arrival.files, "put away", f"{arrival.modality or 'no modality'}; {rule}")
    scan = Scan(name, arrival.folder, name, arrival.series_uid, tuple(sorted(arrival.folder.iterdir())))
    try:
        files: tuple[Path, ...] = worker.do(scan)["files"]
        results = []
        for path in files:
            if path.suffix == ".dcm":
                results.append(path)
        if how.send_to is None or not results:
            return Told(name, arrival.files, "segmented")
        send(results, how.send_to, how.title, how.trust)
    except ProsectError as error:
        return Told(name, arrival.files, "refused", f"[{error.code}] {error}")
    except Exception as error:  # a bug on one series must not end a node that others send to
        return Told(name, arrival.files, "failed", f"[INTERNAL_BUG] {type(error).__name__}; please report it")
    return Told(name, arrival.files, "sent", f"{len(results)} results")


def serve_forever(how: Listening, inbox: Inbox, worker: Worker, tell: Callable[[Told], None]) -> None:
    """Deal with series as they become complete, until interrupted."""
    while True:
        if not serve_once(how, inbox, worker, tell):
            time.sleep(LOOK_S)
