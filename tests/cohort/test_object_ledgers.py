"""A ledger in an object store loses no event, tells none twice, and costs its readers few requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from prosect.errors import OutputError

pytest.importorskip("boto3", reason="needs the extra `s3`")

from prosect.cohort import object_ledgers
from prosect.cohort.bucket import Bucket
from prosect.cohort.object_ledgers import Mark, new_events, open_ledger, place_of_part
from prosect.cohort.object_place import ObjectPlace
from prosect.cohort.objects import ObjectStore
from prosect.cohort.store import Append

pytestmark = pytest.mark.filterwarnings("ignore:datetime")


@pytest.fixture
def asked(bucket: Bucket) -> Iterator[Counter[str]]:
    """Return how often each kind of request is made, as it grows."""
    counts: Counter[str] = Counter()

    def count(model: object, **_more: object) -> None:
        counts[getattr(model, "name", "")] += 1

    events = bucket.client.meta.events
    events.register("before-call.s3", count)
    yield counts
    events.unregister("before-call.s3", count)


def event(number: int) -> dict[str, object]:
    return {"event": "done", "case": f"c{number}"}


def cases(found: dict[str, list[dict[str, object]]], ledger: str = "w.jsonl") -> list[object]:
    return [each["case"] for each in found.get(ledger, [])]


def test_an_event_is_there_when_append_returns_and_is_read_once(bucket: Bucket, tmp_path: Path) -> None:
    writer, reader = (ObjectStore(bucket, name, tmp_path / name) for name in ("w", "r"))
    with writer.open_ledger() as append:
        append({"event": "start", "settings": {}})
        append({"event": "reading", "case": "a"})
        found = dict(reader.new_events())
        assert [event["event"] for event in found["w.jsonl"]] == ["start", "reading"]
        append({"event": "done", "case": "a"})
        assert [event["event"] for event in dict(reader.new_events())["w.jsonl"]] == ["done"]
    assert list(reader.new_events()) == []


@pytest.mark.parametrize("every", [1, 2, 3, 5, 7, 20])
def test_over_sealed_parts_every_reader_reads_each_event_once_in_order(bucket: Bucket, every: int) -> None:
    marks: dict[str, Mark] = {}
    read: list[object] = []
    with open_ledger(bucket, "w", most=3) as append:
        for number in range(20):
            append(event(number))
            if number % every == 0:
                read += cases(new_events(bucket, marks))
    read += cases(new_events(bucket, marks))
    assert read == [f"c{number}" for number in range(20)]
    assert new_events(bucket, marks) == {}
    # Who only looks, and who comes last, see the same.
    assert cases(ObjectPlace(bucket).ledgers()) == read


def test_a_worker_that_dies_while_it_seals_leaves_each_event_once(bucket: Bucket) -> None:
    with open_ledger(bucket, "w", most=2) as append:
        for number in range(2):
            append(event(number))
    ledger = bucket.get(f"{object_ledgers.LEDGERS}/w.jsonl")
    assert ledger is not None
    # The sealed part was put, and the ledger was not begun anew.
    bucket.put(place_of_part("w", 1), ledger.split(b"\n", 1)[1])
    assert cases(new_events(bucket, {})) == ["c0", "c1"]


def test_an_event_whose_put_failed_is_not_lost_where_the_store_may_have_it(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: dict[str, Mark] = {}
    put = Bucket.put

    def put_and_fail(self: Bucket, name: str, content: bytes, **condition: str) -> str | None:
        put(self, name, content, **condition)
        raise OutputError("no answer", code="OUTPUT_UNWRITABLE")

    with open_ledger(bucket, "w") as append:
        append(event(0))
        with monkeypatch.context() as patch:
            patch.setattr(Bucket, "put", put_and_fail)
            with pytest.raises(OutputError):
                append(event(1))
        assert cases(new_events(bucket, marks)) == ["c0", "c1"]
        append(event(2))
    assert cases(new_events(bucket, marks)) == ["c2"]


def test_reading_costs_a_request_for_each_worker_that_wrote_and_not_for_each_event(
    bucket: Bucket, asked: Counter[str]
) -> None:
    """With one object per event, this reader asked 8 times for a list and 320 times for an object."""
    marks: dict[str, Mark] = {}
    with ExitStack() as open_ledgers:
        workers: list[Append] = []
        for number in range(8):
            workers.append(open_ledgers.enter_context(open_ledger(bucket, f"w{number}")))
        for number in range(40):
            for append in workers:
                append(event(number))
        assert asked == {"PutObject": 320}
        asked.clear()
        found = new_events(bucket, marks)
        assert sum(map(len, found.values())) == 320
        assert asked == {"ListObjectsV2": 1, "GetObject": 8}
        asked.clear()
        workers[3](event(40))
        assert [len(events) for events in new_events(bucket, marks).values()] == [1]
        assert asked == {"PutObject": 1, "ListObjectsV2": 1, "GetObject": 1}
        asked.clear()
        assert new_events(bucket, marks) == {}
        assert asked == {"ListObjectsV2": 1}


def test_who_comes_late_asks_once_for_a_sealed_part(bucket: Bucket, asked: Counter[str]) -> None:
    with open_ledger(bucket, "w", most=5) as append:
        for number in range(51):
            append(event(number))
    assert asked == {"PutObject": 51 + 10}
    asked.clear()
    assert len(cases(new_events(bucket, {}))) == 51
    assert asked == {"ListObjectsV2": 1, "GetObject": 1 + 10}
