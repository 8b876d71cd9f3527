"""What must not end a run, what must, and that neither changes what is learnt."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from running import digest, loop

from prosect.errors import RecipeError, ResourceError

SCRIPT = Path(__file__).with_name("running.py")


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_a_run_killed_at_any_moment_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole", 40)
    whole.run(save_every=3)
    words = [sys.executable, str(SCRIPT), str(tmp_path / "cut"), "40"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (tmp_path / "cut" / "state.previous.pt").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    last = loop(tmp_path / "cut", 40)
    assert last.resume()
    assert 0 < last.step < 40
    last.run()
    assert digest(last) == digest(whole)


SAVING = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from running import loop
run = loop(Path(sys.argv[2]), 9)
run.save()
write = torch.save
def slow(state, handle):
    write(state, handle)
    handle.flush()
    print("half", flush=True)
    time.sleep(60)
torch.save = slow
run.step += 1
run.save()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_what_a_kill_during_a_save_leaves_is_gone_after_the_next_start(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SAVING, str(SCRIPT.parent), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    left = [path.name for path in tmp_path.glob(".state.pt.*")]
    assert len(left) == 1
    again = loop(tmp_path, 9)
    assert not list(tmp_path.glob(".*"))
    assert again.resume()
    assert again.step == 0, "the state that was being written was never there"


def test_two_processes_learn_what_one_does_from_twice_the_patches(tmp_path: Path) -> None:
    alone = loop(tmp_path / "alone", 6, patches=2)
    alone.run()
    words = [sys.executable, str(SCRIPT), str(tmp_path / "both"), "6"]
    processes = [
        subprocess.Popen([*words, str(rank), "2", str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    digests = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert digests[0] == digests[1]
    both = loop(tmp_path / "both", 6, patches=2)
    assert both.resume()
    for key, value in alone.network.state_dict().items():
        assert torch.allclose(value, both.network.state_dict()[key], atol=1e-5), key


def test_patches_drawn_ahead_by_threads_change_nothing(tmp_path: Path) -> None:
    plain, ahead = loop(tmp_path / "a", 25, patches=2), loop(tmp_path / "b", 25, patches=2, threads=3)
    plain.run()
    ahead.run()
    assert digest(plain) == digest(ahead)
    assert 0 < rows(tmp_path / "a")[-1]["busy"] < 1  # type: ignore[operator]


def test_losses_that_stay_infinite_end_the_run_and_name_the_scans(tmp_path: Path) -> None:
    run = loop(tmp_path, 20, give_up=4)
    run._one_step()
    run.save()
    good = digest(run)
    inner = run.objective
    run.objective = lambda: inner() * float("inf")
    with pytest.raises(RecipeError, match=r"first|second") as ended:
        run.run()
    assert ended.value.code == "TRAINING_DIVERGED"
    assert digest(run) == good, "no step was taken"
    skipped = [row for row in rows(tmp_path) if row.get("event") == "skipped"]
    assert len(skipped) == 4
    assert all(row["scans"] in (["first"], ["second"]) for row in skipped)


def test_a_full_disk_is_noted_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = loop(tmp_path, 9)
    run.save()
    write, calls = torch.save, []

    def full(*args: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        if len(calls) == 2:
            raise RuntimeError("PytorchStreamWriter failed writing file data/0")
        write(*args)

    monkeypatch.setattr(torch, "save", full)
    run.run(save_every=3)
    assert [row["step"] for row in rows(tmp_path) if row.get("event") == "not saved"] == [3, 6]
    again = loop(tmp_path, 9)
    assert again.resume()
    assert again.step == 9
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole")
    whole.run()
    run = loop(tmp_path / "cut")
    run.run(save_every=2)
    (tmp_path / "cut" / "state.pt").write_bytes((tmp_path / "cut" / "state.pt").read_bytes()[:1000])
    again = loop(tmp_path / "cut")
    assert again.resume()
    again.run()
    assert digest(again) == digest(whole)


def flip_a_bit(path: Path, tensor: torch.Tensor) -> None:
    """Flip a bit in the middle of a tensor of a file, which torch reads without complaint."""
    content = bytearray(path.read_bytes())
    values = tensor.numpy().tobytes()
    content[bytes(content).index(values) + len(values) // 2 | 3] ^= 0x40
    path.write_bytes(content)


def test_a_state_with_a_flipped_bit_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole")
    whole.run()
    run = loop(tmp_path / "cut")
    run.run(save_every=4)
    flip_a_bit(tmp_path / "cut" / "state.pt", run.network.get_parameter("class_head.mlp.0.weight").detach())
    again = loop(tmp_path / "cut")
    assert again.resume()
    assert again.step == 4, "the state before"
    again.run()
    assert digest(again) == digest(whole)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_best_weights_that_are_damaged_are_not_chosen_and_the_log_says_so(tmp_path: Path, damage: str) -> None:
    scores = iter([0.5, 0.9, 0.1])
    run = loop(tmp_path, 6, validate=lambda _: next(scores), validate_every=2)
    run.run()
    path = tmp_path / "best.pt"
    best, step = run.chosen()
    assert step == 4
    if damage == "flipped":
        flip_a_bit(path, best["class_head.mlp.0.weight"])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    else:
        path.unlink()
    chosen, step = run.chosen()
    assert step == 6
    assert chosen is run.average
    assert rows(tmp_path)[-1]["event"] == "best weights lost"


def test_the_state_of_another_run_is_not_taken_up(tmp_path: Path) -> None:
    loop(tmp_path).run()
    with pytest.raises(RecipeError) as refused:
        loop(tmp_path, learning_rate=1.0).resume()
    assert refused.value.code == "RESUME_OTHER_RUN"
    assert "learning_rate" in str(refused.value)


def test_a_finished_run_is_trained_on_for_more_steps(tmp_path: Path) -> None:
    short = loop(tmp_path, 6)
    short.run()
    longer = loop(tmp_path, 12, warmup_steps=3)
    assert longer.resume()
    assert not longer.finished
    assert digest(longer) == digest(short)
    assert rows(tmp_path)[-1] | {"rate": 0, "skipped": 0} == {
        "step": 6, "event": "trained on", "before": 6, "now": 12, "rate": 0, "skipped": 0,
    }  # fmt: skip
    longer.run()
    assert longer.step == 12
    assert digest(longer) != digest(short)


def test_fewer_steps_and_an_unfinished_run_are_not_trained_on(tmp_path: Path) -> None:
    loop(tmp_path, 6).run(stop_at=0)
    with pytest.raises(RecipeError, match="finish it first"):
        loop(tmp_path, 12).resume()
    again = loop(tmp_path, 6)
    again.resume()
    again.run()
    with pytest.raises(RecipeError, match="steps 6, now 4"):
        loop(tmp_path, 4).resume()


def test_a_state_of_other_data_is_not_trained_on(tmp_path: Path) -> None:
    loop(tmp_path, 6, lineage="a").run()
    with pytest.raises(RecipeError) as refused:
        loop(tmp_path, 12, lineage="b").resume()
    assert refused.value.code == "RESUME_OTHER_RUN"


def test_validation_keeps_the_best_and_ends_a_run_that_gains_nothing(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    run = loop(tmp_path, 100, validate=lambda _: next(scores), validate_every=2, patience=3)
    run.run()
    assert (run.step, run.best, run.best_step) == (10, 0.5, 4)
    best = torch.load(tmp_path / "best.pt", weights_only=True)
    assert (best["step"], best["score"]) == (4, 0.5)


def test_a_disk_too_full_for_the_log_and_the_best_weights_does_not_end_a_run(tmp_path: Path) -> None:
    for name in ("log.jsonl", "best.pt"):
        (tmp_path / name).mkdir()  # what cannot be written
    run = loop(tmp_path, 4, validate=lambda _: 0.5, validate_every=2)
    told: list[dict[str, object]] = []
    run.around = replace(run.around, watchers=[told.append])
    run.run()
    assert run.step == 4
    assert run.best_step == 0, "weights that are not kept are not the best"
    assert [row["event"] for row in told] == ["not saved", "validated"] * 2


def test_a_resumed_average_stays_where_the_network_is(tmp_path: Path) -> None:
    loop(tmp_path).run()
    again = loop(tmp_path)
    places = {key: value.data_ptr() for key, value in again.average.items()}
    assert again.resume()
    assert {key: value.data_ptr() for key, value in again.average.items()} == places


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    run = loop(tmp_path, 4)
    run.run()
    before = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        run.trained[0].view(-1)[0] = float("inf")
    with pytest.raises(RecipeError, match="not finite") as caught:
        run.save()
    assert caught.value.code == "TRAINING_DIVERGED"
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_disk_too_full_to_validate_does_not_end_a_run_nor_use_up_its_patience(tmp_path: Path) -> None:
    asked = []

    def validate(average: dict[str, torch.Tensor]) -> float:
        asked.append(len(asked))
        if len(asked) in (2, 3, 4):
            raise ResourceError("full", code="DISK_FULL")
        return 1.0 / len(asked)

    run = loop(tmp_path, 12, validate=validate, validate_every=2, patience=2)
    run.run()
    assert run.step == 12, "the second and third judgement that counts came at steps 10 and 12"
    assert run.best_step == 2
    assert [row["event"] for row in rows(tmp_path) if "event" in row].count("not validated") == 3


def test_rows_of_steps_that_were_lost_are_taken_off_the_log(tmp_path: Path) -> None:
    first = loop(tmp_path, 60)
    first.run(save_every=100)
    log = tmp_path / "log.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines, json.dumps({"step": 75, "loss": 1.0}), '{"step": 1']) + "\n")
    again = loop(tmp_path, 60)
    assert again.resume()
    assert log.read_text().splitlines() == lines
