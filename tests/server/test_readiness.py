"""A server says that it is ready when its model is loaded and answers a known patch as it did before."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import CheckpointError
from prosect.server.device import Device
from prosect.server.readiness import Readiness, hash_answer
from prosect.server.shelf import Shelf, Source
from worlds.serving import BallModel, BallResponder, Server

WAIT_S = 20.0


class OtherResponder(BallResponder):
    """Answers with everything that is not asked for."""

    def propose(self, question: Any, box: Any, watch: Any = None) -> Any:
        changed, mask = super().propose(question, box, watch)
        return changed, ~mask


class OtherModel(BallModel):
    """The model of balls, on a machine that computes wrong."""

    def responder(self, volume: Any, _kept: Any = None) -> BallResponder:
        return OtherResponder(volume, 0.0)


@pytest.fixture
def device() -> Iterator[Device]:
    """A device that is stopped at the end."""
    made = Device()
    yield made
    made.stop()


def shelf_of(model: Any) -> Shelf:
    """A shelf with one model."""
    return Shelf(lambda _name, _weights: model, [Source("balls", "balls")])


def test_the_same_answer_is_ready_and_another_is_not(tmp_path: Path, device: Device) -> None:
    answers = tmp_path / "answers.json"
    assert Readiness(shelf_of(BallModel()), device, answers).wait(WAIT_S) == ""
    assert Readiness(shelf_of(BallModel()), device, answers).wait(WAIT_S) == ""
    reason = Readiness(shelf_of(OtherModel()), device, answers).wait(WAIT_S)
    assert "answers a known patch otherwise than before" in reason
    # What is known stays, so that it is not taken for right at the next start.
    assert Readiness(shelf_of(OtherModel()), device, answers).wait(WAIT_S) == reason
    assert len(json.loads(answers.read_text())["answers"]) == 1


def test_other_weights_have_an_answer_of_their_own(tmp_path: Path, device: Device) -> None:
    class Finetuned(OtherModel):
        """Other weights."""

        @property
        def identity(self) -> Any:
            return {**super().identity, "weights_sha256": "1" * 64}

    answers = tmp_path / "answers.json"
    for model in (BallModel(), Finetuned()):
        assert Readiness(shelf_of(model), device, answers).wait(WAIT_S) == ""
    known = json.loads(answers.read_text())["answers"]
    assert sorted(known.values()) == sorted([hash_answer(BallModel()), hash_answer(Finetuned())])  # type: ignore[arg-type]
    assert len(set(known.values())) == 2


def test_weights_that_cannot_be_loaded_are_said(tmp_path: Path, device: Device) -> None:
    def load(_name: Any, _weights: Any) -> Any:
        raise CheckpointError("The file is damaged.", code="CHECKPOINT_DAMAGED")

    checked = Readiness(Shelf(load, [Source("balls", "balls")]), device, tmp_path / "answers.json")
    assert checked.wait(WAIT_S) == "The file is damaged."


def test_a_driver_that_fails_is_said(tmp_path: Path, device: Device) -> None:
    class Broken(BallModel):
        """A model whose driver fails."""

        def responder(self, volume: Any, kept: Any = None) -> Any:
            raise RuntimeError("CUDA error")

    checked = Readiness(shelf_of(Broken()), device, tmp_path / "answers.json")
    assert checked.wait(WAIT_S) == "the model cannot answer a known patch (RuntimeError)"


def test_a_thread_that_has_ended_is_said(tmp_path: Path) -> None:
    device = Device()
    checked = Readiness(shelf_of(BallModel()), device, tmp_path / "answers.json")
    assert checked.wait(WAIT_S) == ""
    device.stop()
    assert "model's thread has ended" in checked.reason


def test_a_server_is_not_ready_before_its_model_is(start: Callable[[Shelf], Server]) -> None:
    gate = threading.Event()

    def load(_name: Any, _weights: Any) -> Any:
        gate.wait(WAIT_S)
        return BallModel()

    server = start(Shelf(load, [Source("balls", "balls")]))
    asked = server.http.get("/readyz")
    assert asked.status_code == 503
    assert asked.json() == {"ready": False, "reason": "the model is being loaded"}
    gate.set()
    assert server.service.readiness.wait(WAIT_S) == ""
    ready = server.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
