"""An object store is a folder that workers share, held to the same laws; moto plays it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prosect.cli.main import main
from prosect.cohort.inputs import scans_of
from prosect.cohort.ledger import DONE
from prosect.cohort.running import run_cohort
from prosect.cohort.running_part import Sharing, run_part
from prosect.errors import FormatError, OutputError
from prosect.jobs import CohortJob, ModelChoice
from worlds.cohort_models import FatefulModel, load_fateful, write_fateful

pytest.importorskip("boto3", reason="needs the extra `s3`")
moto = pytest.importorskip("moto", reason="moto plays the store")

from botocore.exceptions import EndpointConnectionError  # noqa: E402

from prosect.cohort.bucket import Bucket, connect  # noqa: E402
from prosect.cohort.objects import ObjectClaims, ObjectSource, ObjectStore, claim_name, find_objects  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:datetime")


def test_an_address_names_a_bucket_and_a_prefix(bucket: Bucket) -> None:
    for address in ("s3://bucket/a/b", "s3://bucket/a/b/", "s3:/bucket/a/b"):
        assert (connect(address).name, connect(address).prefix) == ("bucket", "a/b")
    assert connect("s3://bucket").key("x") == "x"
    with pytest.raises(FormatError) as refused:
        connect("s3://")
    assert refused.value.code == "STORE_UNREADABLE"


def test_one_of_two_gets_a_case_and_the_other_when_it_is_given_back(bucket: Bucket) -> None:
    first, second = ObjectClaims(bucket, "a"), ObjectClaims(bucket, "b")
    assert first.take("case")
    assert not second.take("case")
    assert first.holds("case")
    assert [(held.case, held.owner) for held in second.held()] == [("case", "a")]
    first.release("case")
    assert second.take("case")


def test_a_stale_claim_goes_to_one_other_and_its_holder_sees_it(bucket: Bucket) -> None:
    dead, second = ObjectClaims(bucket, "a", -1.0), ObjectClaims(bucket, "b", -1.0)
    third = ObjectClaims(bucket, "c")
    assert dead.take("case")
    assert second.take("case"), "a lease below zero: any claim is stale"
    assert not third.take("case")
    dead.renew()
    assert not dead.holds("case")
    dead.release("case")
    dead.close()
    assert second.holds("case"), "who was taken for dead gives nothing away"


def test_renewing_keeps_a_claim_against_who_saw_it_before(bucket: Bucket) -> None:
    slow = ObjectClaims(bucket, "a")
    slow.take("case")
    name = claim_name("case")
    seen = bucket.head(name)
    assert seen is not None
    slow.renew()
    assert bucket.put(name, b"mine", IfMatch=seen["ETag"]) is None
    assert slow.holds("case")


def test_claims_of_the_dead_are_broken_and_a_closed_worker_takes_none(bucket: Bucket) -> None:
    dead, other = ObjectClaims(bucket, "a"), ObjectClaims(bucket, "b")
    for case in ("one", "two"):
        dead.take(case)
    assert other.break_claims("a") == 2
    assert other.take("one")
    other.close()
    assert not other.take("two")
    assert other.held() == ()


def test_results_are_published_once(bucket: Bucket, tmp_path: Path) -> None:
    store = ObjectStore(bucket, "w", tmp_path / "w")
    (store.work / "a.out").write_bytes(b"labels")
    assert not store.exists("a.out")
    known = store.publish("a.out", None)
    assert store.read("a.out") == b"labels"
    assert not (store.work / "a.out").exists()
    (store.work / "a.out").write_bytes(b"labels")
    assert store.publish("a.out", known) == known
    (store.work / "a.out").write_bytes(b"others")
    with pytest.raises(OutputError) as refused:
        store.publish("a.out", known)
    assert refused.value.code == "OUTPUT_DIFFERS"
    assert store.read("a.out") == b"labels"


def test_everyone_can_be_asked_to_leave(bucket: Bucket, tmp_path: Path) -> None:
    store = ObjectStore(bucket, "w", tmp_path / "w")
    assert store.stop_reason() is None
    store.stop("DISK_FULL")
    assert ObjectStore(bucket, "other", tmp_path / "o").stop_reason() == "DISK_FULL"


def test_a_bucket_that_is_not_there_is_refused_in_words(bucket: Bucket, tmp_path: Path) -> None:
    gone = Bucket(bucket.client, "no-such-bucket", "run")
    with pytest.raises(FormatError) as refused:
        find_objects(gone, tmp_path)
    assert refused.value.code == "STORE_UNREADABLE"
    with pytest.raises(OutputError):
        gone.put("a", b"b")
    with pytest.raises(FormatError, match="no object here"):
        find_objects(bucket, tmp_path)


@pytest.mark.parametrize(
    "ask",
    [
        lambda place, _path: place.put("a", b"b"),
        lambda place, _path: place.put("a", b"b", IfNoneMatch="*"),
        lambda place, _path: place.head("a"),
        lambda place, _path: place.get("a"),
        lambda place, _path: place.delete("a"),
        lambda place, _path: list(place.list("a")),
        lambda place, path: place.download("a", path),
    ],
)
def test_a_store_without_a_connection_is_refused_in_words(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Bucket, Path], object]
) -> None:
    """Not by a traceback of the library, whichever step meets it."""

    def fail(*_words: object, **_more: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://nowhere")

    monkeypatch.setattr(bucket.client, "_make_api_call", fail)
    with pytest.raises(FormatError) as refused:
        ask(bucket, tmp_path / "a")
    assert refused.value.code in ("OUTPUT_UNWRITABLE", "STORE_UNREADABLE")
    assert "nowhere" in str(refused.value)


def test_a_cohort_from_and_into_a_store_leaves_the_files_of_a_folder_run(bucket: Bucket, tmp_path: Path) -> None:
    place = Bucket(bucket.client, "bucket", f"{bucket.prefix}_scans")
    for number in range(4):
        name = f"p{number % 2}/c{number}.nii.gz"
        place.put(name, write_fateful(tmp_path / "in" / name, number).read_bytes())
    place.put("notes.txt", b"words")
    model = ModelChoice(weights=tmp_path / "none", device="cpu")
    job = CohortJob(tmp_path / "in", tmp_path / "work", model=model, statistics=True)
    manifest = find_objects(place, tmp_path / "scratch")
    assert manifest.passed == {"another object": 1}
    for worker in ("w1", "w2"):
        store = ObjectStore(bucket, worker, tmp_path / worker)
        assert run_part(job, manifest, store, FatefulModel(), Sharing(), ObjectSource(place)).finished
    found = {name: bucket.get(name) for name, _ in bucket.list("") if "cohort" not in name}
    folder = CohortJob(tmp_path / "in", tmp_path / "out", model=model, statistics=True)
    scans = scans_of(folder.input, folder.output)
    assert scans is not None
    run_cohort(folder, scans, FatefulModel())
    expected = {path.name: path.read_bytes() for path in folder.output.iterdir() if "cohort" not in path.name}
    assert found == expected
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()], (
        "scans are here only for their time"
    )
    events = [event for _, lines in ObjectStore(bucket, "r", tmp_path / "r").new_events() for event in lines]
    assert sorted(event["case"] for event in events if event["event"] == DONE) == ["p0_c0", "p0_c2", "p1_c1", "p1_c3"]


def test_the_command_takes_addresses(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prosect.jobs.inputs.ModelChoice.load", load_fateful)
    monkeypatch.setattr("prosect.require_finds", lambda model: model, raising=False)
    scans = f"{bucket.prefix}_scans"
    Bucket(bucket.client, "bucket", scans).put("a.nii", write_fateful(tmp_path / "a.nii", 0).read_bytes())
    words = ["segment", f"s3://bucket/{scans}", "-o", f"s3://bucket/{bucket.prefix}", "-d", "cpu"]
    assert main(words) == 0
    assert "1 scans done, 0 refused" in capsys.readouterr().out
    assert {name for name, _ in bucket.list("") if "ledger" not in name} == {"a.nii.gz", "cohort_report.json"}
    assert main([*words, "--executor", "ray"]) == 2
    assert main(["segment", f"s3://bucket/{scans}", "-o", str(tmp_path / "out"), "-d", "cpu", "-q"]) == 0
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == bucket.get("a.nii.gz")


def test_a_scan_that_was_replaced_is_another_input(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("a.nii", b"one")
    before = find_objects(bucket, tmp_path).scans[0]
    bucket.put("a.nii", b"two")
    after = find_objects(bucket, tmp_path).scans[0]
    assert before.version != after.version
    ObjectSource(bucket).fetch(after)
    assert after.path.read_bytes() == b"two"
    bucket.delete("a.nii")
    with pytest.raises(FormatError) as refused:
        ObjectSource(bucket).fetch(after)
    assert refused.value.code == "INPUT_UNREADABLE"
