"""Who works on which case, where many workers share one folder of results and nothing else.

A claim is a file that only one worker can create. Its holder renews it; one that has not been renewed for a lease is
stale, and whoever creates the next generation of it has the case. Claims save work, they do not guard results: two
workers may in rare moments do the same case, and then publish the same bytes (see `cohort.store`).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prosect.cohort.holding import OwnClaims
from prosect.cohort.processes import has_ended, own_process
from prosect.cohort.ticking import ticking
from prosect.errors import ProsectError
from prosect.io.atomic import make_folder, output_error

__all__ = [
    "LEASE_S", "RENEWALS_PER_LEASE", "Claims", "FolderClaims", "Held", "claim_key", "heartbeat", "look_at_claims",
    "words_in",
]  # fmt: skip

# Longer than any pause of a healthy worker: a file server that is restarted, a process that is suspended for a while.
LEASE_S = 300.0
RENEWALS_PER_LEASE = 8
KEY_DIGITS = 32
# Each worker writes such a file at every beat; it tells the file server's time, and that the worker lives.
CLOCK = ".clock-"


@dataclass(frozen=True)
class Held:
    """A claim that somebody has.

    Attributes:
        case: The case.
        owner: The worker.
        age_s: Seconds since it was renewed.
        has_ended: Whether the worker is known to be dead, because its process was on this machine and is no more.
    """

    case: str
    owner: str
    age_s: float
    has_ended: bool = False

    def is_left(self, lease_s: float) -> bool:
        """Return whether nobody works on the case: its holder is dead, or has been silent for a lease."""
        return self.has_ended or self.age_s > lease_s


class Claims(Protocol):
    """The claims of one worker, and what it sees of those of others."""

    def take(self, case: str) -> bool:
        """Return whether the case is ours now; a stale claim of another is taken over."""

    def holds(self, case: str) -> bool:
        """Return whether a claim of ours still stands, and nobody has taken it over."""

    def renew(self) -> None:
        """Say of every claim of ours that its holder lives."""

    def release(self, case: str) -> None:
        """Give a case back; nothing happens where it is not ours."""

    def close(self) -> None:
        """Give every case back and take no more."""

    def break_claims(self, owner: str) -> int:
        """Remove the claims of a worker that is known to be dead, and return how many they were."""

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""


def claim_key(case: str) -> str:
    """Return the name of a case among the claims, the same on every machine and safe for every file system."""
    return hashlib.sha256(case.encode("utf-8", "surrogateescape")).hexdigest()[:KEY_DIGITS]


class FolderClaims(OwnClaims[Path]):
    """Claims as files of a folder that all workers can write.

    A file is called `<key>.<generation>`. Age is told by the clock of the file server, which dates all of them, so that
    the clocks of the machines need not agree. A holder that was on this machine and has ended is not waited for.

    Args:
        folder: Where the claims lie; made where it is missing.
        owner: The name of this worker, which no other has.
        lease_s: Seconds after which a claim that is not renewed is stale.
        clock: Seconds, never set back.
    """

    def __init__(
        self, folder: Path, owner: str, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        make_folder(folder)
        self._folder, self._owner, self._lease_s, self._clock = folder, owner, lease_s, clock
        self._offset = self._measure_offset()

    def _make(self, case: str) -> Path | None:
        """Create the next generation of a claim, where the last one is stale or there is none."""
        key = claim_key(case)
        generation, last = self._newest(key)
        if last is not None and not self._is_stale(last) and not self._is_of_the_dead(last):
            return None
        mine = self._folder / f"{key}.{generation + 1}"
        if not self._create(mine, case):
            return None
        # The dead holder's file goes last: as long as it is there, the next generation cannot be created twice.
        if last is not None:
            with suppress(OSError):
                last.unlink()
        return mine

    def _create(self, mine: Path, case: str) -> bool:
        """Write a claim, and return whether nobody was faster.

        Raises:
            OutputError: The folder cannot be written (`OUTPUT_UNWRITABLE`).
            ResourceError: The disk is full (`DISK_FULL`).
        """
        words = json.dumps({"case": case, "owner": self._owner, "process": own_process()}).encode()
        try:
            with open(mine, "xb") as handle:
                handle.write(words)
        except FileExistsError:
            return False
        except OSError as error:
            # A claim without words would keep everyone from the case for a lease. Nobody else can have made this one.
            with suppress(OSError):
                mine.unlink()
            raise output_error(mine, error) from error
        return True

    def _stands(self, case: str, token: Path) -> bool:
        """Return whether no later generation of a claim is there, and this one is ours."""
        return self._newest(claim_key(case))[1] == token and self._is_ours(token)

    def _extend(self, case: str, token: Path) -> Path | None:
        """Date a claim anew, and return it; None where it is gone."""
        try:
            if not self._is_ours(token):
                return None
            os.utime(token)
        except FileNotFoundError:
            return None
        return token

    def _remove(self, case: str, token: Path) -> None:
        """Remove the file of a claim."""
        if self._is_ours(token):
            token.unlink()

    def _is_ours(self, token: Path) -> bool:
        """Return whether a claim says our name: numbers begin anew when a successor has given the case back.

        Raises:
            OSError: It cannot be read.
        """
        return words_in(token.read_bytes()).get("owner") == self._owner

    def renew(self) -> None:
        """Say of every claim of ours that its holder lives; one that is gone was taken over and is not made again."""
        super().renew()
        with suppress(ProsectError):  # the file server is away; the next beat tries again
            self._offset = self._measure_offset()

    def close(self) -> None:
        """Give every case back and take no more."""
        super().close()
        with suppress(OSError):
            self._clock_file.unlink(missing_ok=True)

    def break_claims(self, owner: str) -> int:
        """Remove the claims of a worker that is known to be dead, and return how many they were."""
        count = 0
        for path, words in readable_claims(self._folder):
            if words.get("owner") == owner:
                path.unlink(missing_ok=True)
                count += 1
        (self._folder / f"{CLOCK}{owner}").unlink(missing_ok=True)
        return count

    def alive(self) -> frozenset[str]:
        """Return the other workers whose heart beats, with or without a claim."""
        found = set()
        for path in self._folder.glob(f"{CLOCK}*"):
            owner = path.name.removeprefix(CLOCK)
            if owner != self._owner and not self._is_stale(path):
                found.add(owner)
        return frozenset(found)

    def held(self) -> tuple[Held, ...]:
        """Return the claims of all workers, stale ones too."""
        return claims_in(self._folder, self._now())

    def _newest(self, key: str) -> tuple[int, Path | None]:
        """Return the highest generation of a claim, and its file; 0 and None where the case is free."""
        generation = 0
        try:
            names = os.listdir(self._folder)
        except OSError as error:
            raise output_error(self._folder, error) from error
        for name in names:
            stem, _, number = name.partition(".")
            if stem == key and number.isdigit():
                generation = max(generation, int(number))
        if generation == 0:
            return 0, None
        return generation, self._folder / f"{key}.{generation}"

    def _is_stale(self, path: Path) -> bool:
        """Return whether a claim has outlived its lease; one that cannot be seen now is looked at later."""
        try:
            return self._now() - path.stat().st_mtime > self._lease_s
        except OSError:
            return False

    def _is_of_the_dead(self, path: Path) -> bool:
        """Return whether the holder of a claim is known to have ended."""
        try:
            return has_ended(str(words_in(path.read_bytes()).get("process", "")))
        except OSError:
            return False

    def _now(self) -> float:
        """Return the file server's time."""
        return self._clock() + self._offset

    @property
    def _clock_file(self) -> Path:
        return self._folder / f"{CLOCK}{self._owner}"

    def _measure_offset(self) -> float:
        """Return what the file server's clock is ahead of ours, told by a file that is written now."""
        try:
            self._clock_file.write_bytes(b"now")
            return self._clock_file.stat().st_mtime - self._clock()
        except OSError as error:
            raise output_error(self._clock_file, error) from error


def look_at_claims(folder: Path, now: Callable[[], float] = time.time) -> tuple[Held, ...]:
    """Return the claims in a folder, as one sees them who only looks; none where there is no folder.

    Args:
        folder: Where the claims lie.
        now: Seconds since 1970, where the folder cannot be written: ages are then told by this machine's clock.
    """
    if not folder.is_dir():
        return ()
    try:
        looking = FolderClaims(folder, "look")
    except ProsectError:
        return claims_in(folder, now())
    try:
        return looking.held()
    finally:
        looking.close()


def claims_in(folder: Path, now_s: float) -> tuple[Held, ...]:
    """Return the claims in a folder, whose files have an age at the time `now_s`."""
    found = []
    for path, words in readable_claims(folder):
        with suppress(OSError):
            age_s = max(0.0, now_s - path.stat().st_mtime)
            is_dead = has_ended(str(words.get("process", "")))
            found.append(Held(str(words.get("case", "")), str(words.get("owner", "")), age_s, is_dead))
    return tuple(found)


def readable_claims(folder: Path) -> Iterator[tuple[Path, Mapping[str, object]]]:
    """Yield the claims whose words are whole."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        with suppress(OSError):
            words = words_in(path.read_bytes())
            if words:
                yield path, words


def words_in(content: bytes) -> Mapping[str, object]:
    """Return what a claim says; nothing where its holder was killed before it had written that."""
    try:
        words = json.loads(content)
    except ValueError:
        return {}
    if isinstance(words, dict):
        return words
    return {}


@contextmanager
def heartbeat(claims: Claims, period_s: float) -> Iterator[None]:
    """Renew claims in a thread of its own until the block ends.

    A process that is killed, or that hangs without giving the interpreter free, stops renewing, and its cases go to
    others after the lease.

    Args:
        claims: Those of this worker.
        period_s: Seconds between renewals; well below the lease.
    """

    def beat() -> None:
        # A failure now says nothing of the next beat, and the lease bounds what it can cost.
        with suppress(Exception):
            claims.renew()

    with ticking("prosect-heartbeat", period_s, beat):
        yield
