"""Whether a server can be sent work: its model is loaded, and answers a known patch as it did before.

The check is made once, when somebody first asks. The answer to the patch is kept in the work folder, by what decides
it: the weights, the device, the libraries. So a graphics card that computes wrong after a year, or a file of weights
that loads but is damaged, keeps the server out of a group of servers.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import prosect
from prosect.errors import ProsectError
from prosect.geometry import Grid
from prosect.models.engine_choice import processor
from prosect.models.protocols import RunsEngines, TakesClicks
from prosect.progress import Watch
from prosect.results import environment
from prosect.server.device import Device
from prosect.server.kept import Kind
from prosect.server.shelf import Shelf
from prosect.volume import Volume

__all__ = ["ANSWERS_NAME", "Readiness", "hash_answer"]

ANSWERS = Kind("prosect-answers", 1, "the list of known answers")
ANSWERS_NAME = "known_answers.json"
SIDE = 48  # voxels of the known patch
SPACING_MM = 2.0
RADIUS_MM = 20.0
TISSUE_HU, BACKGROUND_HU, NOISE_HU = 60.0, -100.0, 10.0


class Readiness:
    """The check of a server's model. State: what came of it.

    Args:
        shelf: Has the model.
        device: Does its work.
        answers: File of the known answers.
    """

    def __init__(self, shelf: Shelf, device: Device, answers: Path) -> None:
        self._shelf, self._device, self._answers = shelf, device, answers
        self._begun, self._ended = threading.Lock(), threading.Event()
        self._reason = "the model is being loaded"

    def begin(self) -> None:
        """Make the check, unless it was begun before; this waits for nothing."""
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._check, daemon=True, name="prosect-ready").start()

    @property
    def reason(self) -> str:
        """Why the server is not ready; empty where it is."""
        return self._reason if self._device.is_alive else "the model's thread has ended; start the server again"

    def wait(self, timeout_s: float) -> str:
        """Return the reason when the check is over, or after some time."""
        self.begin()
        self._ended.wait(timeout_s)
        return self.reason

    def _check(self) -> None:
        try:
            model = self._shelf.clicker()
            self._reason = "the model is asked about a known patch"
            work = self._device.submit("readiness", answer_to(model), kind="known patch", urgent=False)
            self._reason = self._compare(key_of(model), work.result())
        except ProsectError as error:
            self._reason = str(error)
        except Exception as error:  # whatever a network or a driver raises, the server must say that it is not ready
            self._reason = f"the model cannot answer a known patch ({type(error).__name__})"
        finally:
            self._ended.set()

    def _compare(self, key: str, found: str) -> str:
        """Return why an answer is not the one that is known; empty where it is, or where none was known yet."""
        known = ANSWERS.read(self._answers, lambda document: dict(document["answers"])) or {}
        if known.setdefault(key, found) != found:
            return (
                "the model answers a known patch otherwise than before, with the same weights, device and libraries. "
                f"Check the memory of this machine; delete {ANSWERS_NAME} in the work folder to take the new answer."
            )
        ANSWERS.write(self._answers, {"answers": known})
        return ""


def answer_to(model: TakesClicks) -> Callable[[Watch], str]:
    """Return work for the device: to hash what a model answers."""
    return lambda watch: hash_answer(model, watch)


def hash_answer(model: TakesClicks, watch: Watch | None = None) -> str:
    """Return the SHA-256 of what a model makes of one click on the known patch: the bits of the mask."""
    volume = known_patch()
    session = model.session(volume)
    middle = volume.grid.to_world([[SIDE / 2] * 3])[0]
    session.click(middle.tolist(), True, "known patch", "ras", watch=watch)
    return hashlib.sha256(np.packbits(session.mask("known patch")).tobytes()).hexdigest()


def known_patch() -> Volume:
    """Return a ball of soft tissue in fat, with noise that is always the same (i j k, HU)."""
    grid = Grid((SIDE, SIDE, SIDE), np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0]))
    offsets = SPACING_MM * (np.indices(grid.shape) - SIDE / 2)
    inside = (offsets**2).sum(axis=0) <= RADIUS_MM**2
    noise = NOISE_HU * np.random.default_rng(0).standard_normal(grid.shape)
    values = np.where(inside, TISSUE_HU, BACKGROUND_HU) + noise
    return Volume(values.astype(np.float32), grid, "CT")


def key_of(model: TakesClicks) -> str:
    """Return what decides the bits of an answer, hashed: sums depend on how they are split, too."""
    engine = (model.engine_used, model.precision_used) if isinstance(model, RunsEngines) else ()
    said: dict[str, Any] = {
        "model": dict(model.identity),
        "engine": engine,
        "device": str(getattr(model, "device", "")),
        "prosect": prosect.__version__,
        "libraries": environment.libraries(),
        "threads": environment.threads(),
        "processor": processor(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
