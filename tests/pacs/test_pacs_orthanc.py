"""A walk with a real Orthanc: list, fetch, segment, send back; and a node that does so by itself."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest

import prosect
from prosect.cohort.worker import Worker
from prosect.jobs.cohort import CohortJob
from prosect.pacs.dicomweb import Address, DicomWeb
from prosect.pacs.inbox import Inbox
from prosect.pacs.listening import Listening, listen, serve_once
from prosect.pacs.sending import Node, send
from worlds.label_objects import labelled_series
from worlds.models import LiverEverywhere
from worlds.orthanc import Orthanc, free_port, running

NODE_PORT = free_port()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """Yield a running Orthanc."""
    with running(tmp_path_factory.mktemp("orthanc"), NODE_PORT) as server:
        yield server


@pytest.fixture(scope="module")
def series(orthanc: Orthanc, tmp_path_factory):
    """Return a series that lies in the archive, and labels on it."""
    folder = tmp_path_factory.mktemp("series")
    volume, labels = labelled_series(folder / "ct", shape=(21, 17, 12), StudyDate="20200304")
    with DicomWeb(Address(orthanc.dicomweb)) as pacs:
        assert pacs.put(sorted((folder / "ct").iterdir())) == 12
    return volume, labels


def test_a_series_is_found_fetched_and_its_result_lies_in_the_same_study(orthanc, series, tmp_path) -> None:
    with DicomWeb(Address(orthanc.dicomweb)) as pacs:
        (found,) = pacs.series({"Modality": "CT"})
        assert (found.study_uid, found.series_uid, found.date) == ("1.2.3", "1.2.3.4", "20200304")
        assert pacs.get(found.study_uid, found.series_uid, tmp_path / "ct") == 12
        volume = prosect.read(tmp_path / "ct")
        assert np.array_equal(volume.array, series[0].array)
        labels = series[1]
        results = []
        for ending in ("seg", "rtstruct"):
            results.append(prosect.write(labels, tmp_path / f"o.{ending}.dcm", like=volume))
        assert pacs.put(results) == 2
        # The same labels are the same objects: a second time changes nothing.
        assert pacs.put(results) == 2
        assert sorted(item.modality for item in pacs.series({}, "1.2.3")) == ["CT", "RTSTRUCT", "SEG"]
        seg = next(item for item in pacs.series({}, "1.2.3") if item.modality == "SEG")
        pacs.get("1.2.3", seg.series_uid, tmp_path / "back")
    (back,) = (tmp_path / "back").iterdir()
    assert np.array_equal(prosect.read_labels(back, like=volume).array, labels.array)


def test_a_series_that_is_not_there_is_refused_by_name(orthanc, tmp_path) -> None:
    with DicomWeb(Address(orthanc.dicomweb)) as pacs, pytest.raises(prosect.ProsectError) as refused:
        pacs.get("1.2.3", "9.9.9", tmp_path / "x")
    assert refused.value.code == "PACS_NOT_FOUND"


def test_what_a_node_receives_is_segmented_and_sent_back(orthanc, series, tmp_path) -> None:
    job = CohortJob(input=tmp_path / "out", output=tmp_path / "out", kinds=("dicom_seg",))
    (tmp_path / "out").mkdir()
    worker = Worker(job, LiverEverywhere())
    told = []
    inbox = Inbox(tmp_path / "in", 1.0, 1 << 30, time.monotonic)
    how = Listening(port=NODE_PORT, callers=("ORTHANC",), send_to=Node("ORTHANC", "127.0.0.1", orthanc.port))
    with listen(how, inbox):
        httpx.post(f"{orthanc.url}/modalities/prosect/echo", timeout=30).raise_for_status()
        (study,) = httpx.get(f"{orthanc.url}/studies", timeout=30).json()
        (ct,) = (
            one["ID"]
            for one in httpx.get(f"{orthanc.url}/studies/{study}/series", timeout=30).json()
            if one["MainDicomTags"]["Modality"] == "CT"
        )
        httpx.post(f"{orthanc.url}/modalities/prosect/store", content=ct, timeout=60).raise_for_status()
        deadline = time.monotonic() + 60
        while not told and time.monotonic() < deadline:
            serve_once(how, inbox, worker, told.append)
            time.sleep(0.1)
    (one,) = told
    assert (one.files, one.state, one.message) == (12, "sent", "1 results")
    assert list((tmp_path / "in").iterdir()) == []
    (path,) = (tmp_path / "out").glob("*.seg.dcm")
    uid = pydicom.dcmread(path).SOPInstanceUID
    found = httpx.get(f"{orthanc.dicomweb}/studies/1.2.3/instances?SOPInstanceUID={uid}", timeout=30).json()
    assert len(found) == 1


def test_a_caller_that_is_not_listed_is_turned_away(tmp_path) -> None:
    volume, labels = labelled_series(tmp_path / "ct")
    path: Path = prosect.write(labels, tmp_path / "o.seg.dcm", like=volume)
    inbox = Inbox(tmp_path / "in", 1.0, 1 << 30, time.monotonic)
    with (
        listen(Listening(port=free_port(), callers=("FRIEND",)), inbox) as port,
        pytest.raises(prosect.ProsectError, match="does not accept STRANGER") as refused,
    ):
        send([path], Node("PROSECT", "127.0.0.1", port), "STRANGER")
    assert refused.value.code == "PACS_UNREACHABLE"
