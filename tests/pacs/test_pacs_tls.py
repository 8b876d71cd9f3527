"""TLS between nodes, and to a PACS: who can show no certificate of the authority is turned away, on both sides."""

from __future__ import annotations

import gc
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from prosect.cli.main import main
from prosect.errors import ResourceError, UsageError
from prosect.pacs.dicomweb import Address, DicomWeb
from prosect.pacs.inbox import Inbox
from prosect.pacs.listening import Listening, listen
from prosect.pacs.sending import Node, send
from prosect.pacs.trust import Trust
from worlds.certificates import Authority
from worlds.label_objects import labelled_series

ROOM = 1 << 30


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority of our hospital."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Trust:
    """Return our node's certificate, and whom it believes."""
    return Trust(authority.node("ours"), authority.certificate)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the slices of a series."""
    folder = tmp_path_factory.mktemp("scan") / "ct"
    labelled_series(folder, shape=(12, 10, 6))
    return sorted(folder.iterdir())


def sent(to: Trust | None, by: Trust | None, files: list[Path], tmp_path: Path, host: str = "127.0.0.1") -> int:
    """Send files from one node to another and return how many arrived."""
    inbox = Inbox(tmp_path / "in", 30, ROOM, lambda: 0.0)
    try:
        with listen(Listening(port=0, callers=("FRIEND",), trust=to), inbox) as port:
            return send(files, Node("PROSECT", host, port), "FRIEND", by)
    finally:
        gc.collect()  # pynetdicom leaves the socket of a failed handshake to the collector, which warns of it


def test_nodes_of_one_authority_exchange_files(ours: Trust, authority: Authority, files, tmp_path: Path) -> None:
    theirs = Trust(authority.node("theirs"), authority.certificate)
    assert sent(ours, theirs, files, tmp_path) == 6
    assert sum(1 for path in (tmp_path / "in").rglob("*") if path.is_file()) == 6


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("side", ["listens", "sends"])
def test_a_node_of_another_authority_is_turned_away(ours: Trust, files, tmp_path: Path, side: str) -> None:
    others = Authority(tmp_path / "others", "others")
    stranger = Trust(others.node("stranger"), ours.authority)
    to, by = (stranger, ours) if side == "listens" else (ours, stranger)
    with pytest.raises(ResourceError) as refused:
        sent(to, by, files, tmp_path)
    assert refused.value.code == "PACS_UNREACHABLE"
    assert "certificates of both" in str(refused.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_for_another_host_is_not_believed(ours: Trust, authority: Authority, files, tmp_path) -> None:
    moved = replace(ours, certificate=authority.node("moved", "DNS:elsewhere.example"))
    with pytest.raises(ResourceError):
        sent(moved, ours, files, tmp_path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_caller_without_tls_or_without_a_certificate_is_turned_away(ours: Trust, files, tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        sent(ours, None, files, tmp_path)
    nameless = ssl.create_default_context(cafile=str(ours.authority))
    inbox = Inbox(tmp_path / "in", 30, ROOM, lambda: 0.0)
    with listen(Listening(port=0, trust=ours), inbox) as port, pytest.raises(OSError):  # noqa: PT011
        talk(nameless, port)
    gc.collect()


def talk(context: ssl.SSLContext, port: int) -> None:
    """Speak to a node over TLS; in TLS 1.3 its refusal comes after the handshake."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as secured:
        secured.sendall(b"\1" * 100)
        if not secured.recv(1):
            raise ConnectionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_sent_in_the_open_by_a_node_with_tls(ours: Trust, files, tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        sent(None, ours, files, tmp_path)


@pytest.mark.parametrize("broken", ["certificate", "authority"])
def test_a_file_that_is_no_certificate_is_named(ours: Trust, files, tmp_path: Path, broken: str) -> None:
    (tmp_path / "notes.pem").write_text("no certificate")
    trust = replace(ours, **{broken: tmp_path / "notes.pem"})
    for use in (trust.listening, trust.sending):
        with pytest.raises(UsageError, match=r"notes\.pem"):
            use()
    with pytest.raises(UsageError, match=r"gone\.pem"):
        replace(ours, **{broken: tmp_path / "gone.pem"}).sending()


def test_authorities_without_a_certificate_of_our_own_are_refused(ours: Trust, tmp_path: Path, capsys) -> None:
    assert main(["pacs", "listen", "-o", str(tmp_path), "--tls-ca", str(ours.authority)]) == 2
    assert "--tls-cert" in capsys.readouterr().err


class Series(BaseHTTPRequestHandler):
    """A PACS with one series."""

    def do_GET(self) -> None:
        """Answer with the series."""
        body = json.dumps([{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "0020000E": {"vr": "UI", "Value": ["1.2.3"]}}])
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def https(trust: Trust) -> Iterator[str]:
    """Yield the address of a DICOMweb server over TLS."""
    server = HTTPServer(("127.0.0.1", 0), Series)
    server.socket = trust.listening().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_pacs_is_asked_over_https_with_its_authority_alone(ours: Trust, authority: Authority) -> None:
    with https(replace(ours, authority=None)) as url:
        with DicomWeb(Address(url, authority=authority.certificate)) as pacs:
            assert [series.series_uid for series in pacs.series({})] == ["1.2.3"]
        with DicomWeb(Address(url)) as pacs, pytest.raises(ResourceError) as refused:
            pacs.series({})
        assert refused.value.code == "PACS_UNREACHABLE"


def test_a_pacs_that_wants_a_certificate_gets_ours(ours: Trust, authority: Authority) -> None:
    with https(ours) as url:
        address = Address(url, authority=authority.certificate)
        with DicomWeb(replace(address, certificate=authority.node("client"))) as pacs:
            assert len(pacs.series({})) == 1
        with DicomWeb(address) as pacs, pytest.raises(ResourceError):
            pacs.series({})
