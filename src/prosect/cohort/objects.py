"""A cohort in an object store: scans are fetched from it, and workers meet in it, by conditional puts.

An object appears whole or not at all, so nothing needs a temporary name; how ledgers grow is told in `object_ledgers`.
A claim is an object that is put only where there is none, and renewed only where it is unchanged. Ages are told by the
dates that the store itself gives, so that the clocks of the machines need not agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Any

from prosect.cohort.bucket import Bucket
from prosect.cohort.claims import LEASE_S, Claims, Held, claim_key, words_in
from prosect.cohort.holding import OwnClaims
from prosect.cohort.ledger import Event
from prosect.cohort.manifest import Manifest, Scan, flat_name, promises_image, stem
from prosect.cohort.object_ledgers import Mark, new_events, open_ledger
from prosect.cohort.plan import fingerprint
from prosect.cohort.store import CLAIMS, SHARED, STACKS, STOP, Append, refuse_other_bytes
from prosect.errors import FormatError
from prosect.io.atomic import make_folder
from prosect.io.paths import file_name
from prosect.jobs.segment import utc_now

__all__ = ["ObjectClaims", "ObjectSource", "ObjectStore", "find_objects", "stop_reason"]

# A scan larger than this is a mistake, and would fill the disk of the worker.
MOST_BYTES = 32 << 30


def claim_name(case: str) -> str:
    """Return the name of the object that claims a case."""
    return f"{SHARED}/{CLAIMS}/{claim_key(case)}"


class ObjectClaims(OwnClaims[str]):
    """Claims as objects; the tag of one changes whenever it is put, so it tells who wrote it last.

    Args:
        bucket: Where they lie.
        owner: The name of this worker, which no other has.
        lease_s: Seconds after which a claim that is not renewed is stale.
        now: The time of day, for a store that does not tell it.
    """

    def __init__(
        self, bucket: Bucket, owner: str, lease_s: float = LEASE_S, now: Callable[[], datetime] = utc_now
    ) -> None:
        super().__init__()
        self._bucket, self._owner, self._lease_s, self._now = bucket, owner, lease_s, now
        self._beats = 0

    def _make(self, case: str) -> str | None:
        """Put a claim where there is none, or in the place of one that is stale."""
        name = claim_name(case)
        tag = self._bucket.put(name, self._words(case), IfNoneMatch="*")
        if tag is not None:
            return tag
        facts = self._bucket.head(name)
        if facts is None or self._age_of(facts) <= self._lease_s:
            return None
        # Only if it is still the one that was seen to be stale.
        return self._bucket.put(name, self._words(case), IfMatch=facts["ETag"])

    def _stands(self, case: str, token: str) -> bool:
        """Return whether the object is the one that we put last."""
        facts = self._bucket.head(claim_name(case))
        return facts is not None and facts["ETag"] == token

    def _extend(self, case: str, token: str) -> str | None:
        """Put a claim again where it is still ours."""
        return self._bucket.put(claim_name(case), self._words(case), IfMatch=token)

    def _remove(self, case: str, token: str) -> None:
        """Remove a claim where it is still ours."""
        if self._stands(case, token):
            self._bucket.delete(claim_name(case))

    def break_claims(self, owner: str) -> int:
        """Remove the claims of a worker that is known to be dead, and return how many they were."""
        return self._break(lambda held: held.owner == owner)

    def break_stale(self) -> int:
        """Remove the claims that were not renewed for a lease, and return how many they were."""
        return self._break(lambda held: held.age_s > self._lease_s)

    def _break(self, is_dead: Callable[[Held], bool]) -> int:
        count = 0
        for held in self.held():
            if is_dead(held):
                self._bucket.delete(claim_name(held.case))
                count += 1
        return count

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""
        found = []
        for name, _ in self._bucket.list(f"{SHARED}/{CLAIMS}/"):
            content, facts = self._bucket.get(name), self._bucket.head(name)
            if content is not None and facts is not None:
                words = words_in(content)
                found.append(Held(str(words.get("case", "")), str(words.get("owner", "")), self._age_of(facts)))
        return tuple(found)

    def _words(self, case: str) -> bytes:
        """Return what a claim says; each time something else, so that its tag tells who wrote it last."""
        self._beats += 1
        return json.dumps({"case": case, "owner": self._owner, "beat": self._beats}).encode()

    def _age_of(self, facts: Mapping[str, Any]) -> float:
        """Return how long ago an object was written, by the clock of the store where it tells the time."""
        said = facts["ResponseMetadata"]["HTTPHeaders"].get("date")
        if said is None:
            now = self._now()
        else:
            now = parsedate_to_datetime(said)
        written: datetime = facts["LastModified"]
        return max(0.0, (now - written).total_seconds())


def stop_reason(bucket: Bucket) -> str | None:
    """Return why everyone was asked to leave, None where nobody was."""
    content = bucket.get(f"{SHARED}/{STOP}")
    if content is None:
        return None
    return content.decode("utf-8", "replace")


class ObjectStore:
    """An object store that all workers can write.

    Args:
        bucket: Where the results go.
        worker: The name of this worker.
        work: A folder on this machine, in which results are made.
        lease_s: Seconds after which a claim that is not renewed is stale.
    """

    def __init__(self, bucket: Bucket, worker: str, work: Path, lease_s: float = LEASE_S) -> None:
        make_folder(work)
        self.worker, self.work, self._bucket = worker, work, bucket
        self.claims: Claims = ObjectClaims(bucket, worker, lease_s)
        self._marks: dict[str, Mark] = {}

    def open_ledger(self) -> AbstractContextManager[Append]:
        """Yield what puts an event into this worker's ledger and waits until it is kept."""
        return open_ledger(self._bucket, self.worker)

    def new_events(self) -> Iterator[tuple[str, Sequence[Event]]]:
        """Yield, by ledger, the events that were not yielded before."""
        yield from new_events(self._bucket, self._marks).items()

    def publish(self, name: str, known: Mapping[str, Any] | None) -> dict[str, Any]:
        """Put the file of this name in `work` into the store, and return its size and SHA-256.

        Args:
            name: Relative to the prefix of the results.
            known: Size and SHA-256 that another worker published under this name; then nothing is done but to compare.

        Raises:
            OutputError: The other worker's bytes differ (`OUTPUT_DIFFERS`), or the store refuses.
        """
        made = self.work / name
        mine = fingerprint(made)
        if known is not None:
            refuse_other_bytes(name, mine, known)
            mine = dict(known)
        else:
            self._bucket.put(name, made.read_bytes())
        made.unlink()
        return mine

    def states(self, files: Mapping[str, Any]) -> set[str]:
        """Return `same`: objects appear whole, and asking for each would cost more than it finds."""
        return {"same"}

    def exists(self, name: str) -> bool:
        """Return whether there is a result of this name."""
        return self._bucket.head(name) is not None

    def read(self, name: str) -> bytes | None:
        """Return a result, None where there is none."""
        return self._bucket.get(name)

    def write(self, name: str, content: bytes) -> None:
        """Write a result, whole or not at all."""
        self._bucket.put(name, content)

    def stop(self, reason: str) -> None:
        """Ask every worker to leave before its next case."""
        self._bucket.put(f"{SHARED}/{STOP}", reason.encode("utf-8", "replace"))

    def stop_reason(self) -> str | None:
        """Return why everyone was asked to leave, None where nobody was."""
        return stop_reason(self._bucket)

    def keep_stacks(self, text: str) -> None:
        """Keep what every thread was doing when a case took too long."""
        self._bucket.put(f"{SHARED}/{self.worker}{STACKS}", text.encode("utf-8", "replace"))


@dataclass(frozen=True)
class ObjectSource:
    """Scans that lie in an object store: each is on this machine only while it is worked on.

    Attributes:
        bucket: Where they lie.
    """

    bucket: Bucket

    def fetch(self, scan: Scan) -> None:
        """Bring a scan to its path on this machine.

        Raises:
            FormatError: It is too large or gone (`INPUT_UNREADABLE`).
        """
        facts = self.bucket.head(scan.origin)
        if facts is None:
            size = -1
        else:
            size = int(facts["ContentLength"])
        if not 0 <= size <= MOST_BYTES:
            raise FormatError(
                f"{file_name(scan.origin)}: the object is gone or larger than {MOST_BYTES >> 30} GiB.",
                code="INPUT_UNREADABLE",
            )
        make_folder(scan.path.parent)
        self.bucket.download(scan.origin, scan.path)

    def drop(self, scan: Scan) -> None:
        """Remove it from this machine."""
        scan.path.unlink(missing_ok=True)


def find_objects(bucket: Bucket, scratch: Path) -> Manifest:
    """Return the objects that their names call images, as scans that will be fetched into `scratch`.

    Differs from a folder: objects are not opened to see what they hold, and DICOM series are not put together.

    Raises:
        FormatError: The store does not answer (`STORE_UNREADABLE`), or there is no image (`INPUT_NO_SCANS`).
    """
    scans, others = [], 0
    for name, facts in bucket.list(""):
        last = PurePosixPath(name).name
        if not promises_image(last):
            others += 1
            continue
        place = scratch / name
        case = flat_name(scratch, place, stem(last))
        version = str(facts["ETag"]).strip('"')
        scans.append(Scan(case, place, name, version=version))
    if not scans:
        raise FormatError(
            f"s3://{bucket.name}/{bucket.prefix}: no object here has the name of an image ({others} others).",
            code="INPUT_NO_SCANS",
        )
    passed = {}
    if others:
        passed = {"another object": others}
    return Manifest(tuple(sorted(scans, key=lambda scan: scan.name)), passed)
