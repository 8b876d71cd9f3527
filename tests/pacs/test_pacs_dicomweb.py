"""DICOMweb without a server: bodies that arrive in pieces, answers that are wrong, secrets that stay secret."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prosect
from prosect.pacs.dicomweb import Address, DicomWeb
from prosect.pacs.multipart import BOUNDARY, boundary_of, file_parts, parts
from worlds.label_objects import labelled_series

URL = "https://pacs.example/dicom-web"
ITEM = {
    "0020000D": {"Value": ["1.2.3"]}, "0020000E": {"Value": ["1.2.3.4"]}, "00080060": {"Value": ["CT"]},
    "00201209": {"Value": [7]}, "00100010": {"Value": [{"Alphabetic": "Secret^Person"}]},
}  # fmt: skip


def talk(answer, address: Address | None = None) -> DicomWeb:
    """Return a connection whose every request is answered by a function, or by one response."""
    handler = answer if callable(answer) else lambda _request: answer
    return DicomWeb(address or Address(URL), httpx.MockTransport(handler))


def body(*contents: bytes) -> bytes:
    """Return a multipart body."""
    head = b"Content-Type: application/dicom\r\n\r\n"
    lines = [b"--" + BOUNDARY.encode() + b"\r\n" + head + content + b"\r\n" for content in contents]
    return b"".join(lines) + b"--" + BOUNDARY.encode() + b"--\r\n"


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(1, 40))
def test_parts_come_out_whole_however_the_body_arrives(contents, size) -> None:
    whole = body(*contents)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert list(parts(pieces, BOUNDARY.encode())) == contents


@given(st.integers(0, 200))
def test_a_body_that_ends_early_is_refused(length) -> None:
    whole = body(b"a" * 100, b"b" * 100)
    with pytest.raises(prosect.ProsectError) as refused:
        list(parts([whole[: len(whole) - 5 - length]], BOUNDARY.encode()))
    assert refused.value.code == "PACS_ANSWER"


def test_what_is_sent_can_be_taken_apart(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    found = list(parts(file_parts(sorted(tmp_path.iterdir())), BOUNDARY.encode()))
    assert found == [b"a" * 1000, b"b" * 1000]


def test_an_answer_that_is_no_multipart_is_refused() -> None:
    with pytest.raises(prosect.ProsectError, match="text/html"):
        boundary_of("text/html; charset=utf-8")


def test_series_are_listed_without_the_patient() -> None:
    with talk(httpx.Response(200, json=[ITEM])) as pacs:
        (found,) = pacs.series({"Modality": "CT"})
    assert (found.series_uid, found.modality, found.instances, found.description) == ("1.2.3.4", "CT", 7, "")
    assert "Secret" not in repr(found)


def test_what_is_asked_for_is_in_the_address_and_the_token_in_a_header_alone() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    address = Address(URL, token="s3cret-token-of-16")
    with talk(answer, address) as pacs:
        assert pacs.series({"Modality": "MR"}, "1.2.3") == []
    assert seen[0].url.path == "/dicom-web/studies/1.2.3/series"
    assert seen[0].url.params["Modality"] == "MR"
    assert seen[0].headers["Authorization"] == "Bearer s3cret-token-of-16"
    assert "s3cret" not in f"{seen[0].url}{address!r}"


STATUSES = {401: "PACS_DENIED", 403: "PACS_DENIED", 404: "PACS_NOT_FOUND", 500: "PACS_REFUSED", 302: "PACS_REFUSED"}


@pytest.mark.parametrize(("status", "code"), list(STATUSES.items()))
def test_each_refusal_has_its_code(status, code, tmp_path) -> None:
    with talk(httpx.Response(status)) as pacs:
        for call in (lambda: pacs.series({}), lambda: pacs.get("1.2", "1.3", tmp_path / "o")):
            with pytest.raises(prosect.ProsectError) as refused:
                call()
            assert refused.value.code == code


@pytest.mark.parametrize("answer", ["<html>", "[1]", '{"a": 1}', '[{"0020000E": {"Value": ["../x"]}}]'])
def test_a_list_that_is_none_is_refused(answer) -> None:
    with talk(httpx.Response(200, text=answer)) as pacs, pytest.raises(prosect.ProsectError) as refused:
        pacs.series({})
    assert refused.value.code == "PACS_ANSWER"


def test_a_server_that_is_away_is_said() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with talk(fail) as pacs, pytest.raises(prosect.ProsectError, match="cannot be reached") as refused:
        pacs.series({})
    assert (refused.value.code, refused.value.exit_status) == ("PACS_UNREACHABLE", 5)


def test_files_of_another_series_and_no_dicom_are_refused(tmp_path) -> None:
    labelled_series(tmp_path / "ct")
    slice_ = next((tmp_path / "ct").iterdir()).read_bytes()
    kind = {"content-type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
    for number, (content, series) in enumerate([(slice_, "9.9"), (b"no dicom at all", "1.2.3.4")]):
        with talk(httpx.Response(200, content=body(content), headers=kind)) as pacs:
            with pytest.raises(prosect.ProsectError) as refused:
                pacs.get("1.2.3", series, tmp_path / f"o{number}")
            assert refused.value.code == "PACS_ANSWER"
    with talk(httpx.Response(200, content=body(slice_), headers=kind)) as pacs:
        assert pacs.get("1.2.3", "1.2.3.4", tmp_path / "good") == 1
    (name,) = (tmp_path / "good").iterdir()
    assert name.read_bytes() == slice_


KIND = {"content-type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}


@pytest.mark.parametrize("held", ["nothing", "an empty folder"])
def test_a_series_that_breaks_off_leaves_no_part_of_it(tmp_path, held) -> None:
    labelled_series(tmp_path / "ct")
    files = [path.read_bytes() for path in sorted((tmp_path / "ct").iterdir())]
    whole = body(*files)
    target = tmp_path / "fetched"
    if held == "an empty folder":
        target.mkdir()
    cut = httpx.Response(200, content=whole[: len(whole) // 2], headers=KIND)
    with talk(cut) as pacs, pytest.raises(prosect.ProsectError, match="ends early"):
        pacs.get("1.2.3", "1.2.3.4", target)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "ct") in ([], ["fetched"])
    assert not target.exists() or list(target.iterdir()) == []
    with talk(httpx.Response(200, content=whole, headers=KIND)) as pacs:
        assert pacs.get("1.2.3", "1.2.3.4", target) == len(files)
    assert prosect.read(target).grid == prosect.read(tmp_path / "ct").grid


def test_files_that_come_twice_count_once_and_none_is_refused(tmp_path) -> None:
    labelled_series(tmp_path / "ct")
    slice_ = next((tmp_path / "ct").iterdir()).read_bytes()
    with talk(httpx.Response(200, content=body(slice_, slice_), headers=KIND)) as pacs:
        assert pacs.get("1.2.3", "1.2.3.4", tmp_path / "one") == 1
    empty = httpx.Response(200, content=body(), headers=KIND)
    with talk(empty) as pacs, pytest.raises(prosect.ProsectError, match="sent no file") as refused:
        pacs.get("1.2.3", "1.2.3.4", tmp_path / "none")
    assert refused.value.code == "PACS_ANSWER"
    assert not (tmp_path / "none").exists()


def test_bytes_that_cannot_be_unpacked_are_no_bug() -> None:
    broken = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    with talk(broken) as pacs, pytest.raises(prosect.ProsectError) as refused:
        pacs.series({})
    assert refused.value.code == "PACS_UNREACHABLE"


@pytest.mark.parametrize("given", ["authority", "certificate"])
@pytest.mark.parametrize("held", ["nothing", "no PEM"])
def test_files_of_trust_that_cannot_be_used_are_named(tmp_path, given, held) -> None:
    path = tmp_path / "site.pem"
    if held == "no PEM":
        path.write_text("Dear colleague")
    with pytest.raises(prosect.ProsectError, match="this is no PEM file") as refused:
        DicomWeb(Address(URL, **{given: path}))
    assert (refused.value.exit_status, "site.pem" in str(refused.value)) == (2, True)


def test_a_netrc_that_is_not_there_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(prosect.ProsectError, match="netrc cannot be read") as refused:
        DicomWeb(Address(URL, use_netrc=True))
    assert refused.value.exit_status == 2


def test_uids_cannot_lead_elsewhere(tmp_path) -> None:
    with talk(httpx.Response(200)) as pacs, pytest.raises(prosect.ProsectError, match="digits and dots"):
        pacs.get("../../admin", "1.2", tmp_path / "o")


def test_files_that_were_not_kept_are_counted(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    answer = json.dumps({"00081198": {"vr": "SQ", "Value": [{"00081155": {"Value": ["1.2"]}}]}})
    with talk(httpx.Response(202, text=answer)) as pacs, pytest.raises(prosect.ProsectError, match="1 of 1") as refused:
        pacs.put([path])
    assert refused.value.code == "PACS_REFUSED"
    kept = json.dumps({"00081199": {"vr": "SQ", "Value": [{"00081155": {"Value": ["1.2"]}}]}})
    with talk(httpx.Response(200, text=kept)) as pacs:
        assert pacs.put([path]) == 1


@pytest.mark.parametrize(
    "text", ["<html>Sign in", "{}", "[]", '{"00081199": {}}', '{"00081199": {"Value": 7}, "00081198": {"Value": 0}}']
)
def test_an_answer_that_does_not_say_that_files_were_kept_is_no_success(tmp_path, text) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    with talk(httpx.Response(200, text=text)) as pacs, pytest.raises(prosect.ProsectError, match="0 of 1") as refused:
        pacs.put([path])
    assert refused.value.code == "PACS_ANSWER"


def test_what_is_too_large_and_a_wrong_token_are_said_with_a_remedy(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    for status, code, remedy in ((413, "PACS_REFUSED", "labelmap"), (401, "PACS_DENIED", "still valid")):
        with talk(httpx.Response(status)) as pacs, pytest.raises(prosect.ProsectError, match=remedy) as refused:
            pacs.put([path])
        assert refused.value.code == code


def test_a_connection_lost_on_the_way_out_is_said(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)

    def break_off(request: httpx.Request) -> httpx.Response:
        next(iter(request.stream))
        raise httpx.WriteError("Broken pipe", request=request)

    with talk(break_off) as pacs, pytest.raises(prosect.ProsectError, match="WriteError") as refused:
        pacs.put([path])
    assert refused.value.code == "PACS_UNREACHABLE"


def test_what_is_no_dicom_is_not_sent(tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague" * 20)
    with talk(httpx.Response(200)) as pacs, pytest.raises(prosect.ProsectError, match="no DICOM file"):
        pacs.put([tmp_path / "letter.txt"])


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("ftp://x/y", {}, "no address"),
        ("https://[::1/x", {}, "no address"),
        ("https://pacs.example:port/x", {}, "no address"),
        ("https://me:pw@pacs.example/x", {}, "would be seen"),
        ("http://pacs.example/x", {"token": "t" * 16}, "without encryption"),
        ("http://pacs.example/x", {"use_netrc": True}, "without encryption"),
    ],
)
def test_unsafe_addresses_are_refused(url, more, said) -> None:
    with pytest.raises(prosect.ProsectError, match=said) as refused:
        Address(url, **more)
    assert refused.value.exit_status == 2
