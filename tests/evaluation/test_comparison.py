"""Models laid side by side: only objects that all answered, only evaluations by the same rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prosect.cli.main import main
from prosect.errors import FormatError, RecipeError
from prosect.evaluation.comparison import Contender, compare, markdown
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.scores import Row
from prosect.jobs import EvaluateCompareJob

RULES = {"protocol": "clicks", "list_sha256": "ab", "clicks": 5, "clicks_placed_by": "person", "seed": 0}


def rows_of(levels: dict[str, float], gain: float = 0.02, structure: str = "liver") -> list[Row]:
    """Return five rows for each scan, from its first Dice upwards."""
    made = []
    for case, level in levels.items():
        for number in range(1, 6):
            dice = min(level + gain * (number - 1), 1.0)
            made.append(Row(case, "set", structure, 1, number, dice, dice, 5.0, 5.0, 0.1 * level))
    return made


def contender(name: str, rows: list[Row], **settings: Any) -> Contender:
    """Return a finished evaluation."""
    return Contender(name, {**RULES, "model": name, **settings}, rows)


SCANS = {"a": 0.2, "b": 0.5, "c": 0.8}


def test_a_model_that_is_always_better_gains_surely() -> None:
    better = rows_of({case: level + 0.1 for case, level in SCANS.items()})
    found = compare([contender("one", rows_of(SCANS)), contender("two", better)])
    gain = found.gains["two"][1]
    # Scans differ by 0.6, and the gain is the same in each, so nothing of that is left in the interval.
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.figures["one"]["dice_1"].value == pytest.approx(0.5)  # type: ignore[union-attr]
    assert found.figures["two"]["dice_5"].value == pytest.approx(np.mean([0.38, 0.68, 0.98]))  # type: ignore[union-attr]
    assert "one" not in found.gains


def test_only_objects_that_all_answered_count() -> None:
    more = rows_of(SCANS) + rows_of({"d": 0.0}) + rows_of({"a": 0.0}, structure="spleen")
    found = compare([contender("one", rows_of(SCANS)), contender("two", more)])
    assert found.objects == 3
    assert found.gains["two"][1].value == pytest.approx(0.0)


def test_any_number_of_models_and_two_of_one_name() -> None:
    found = compare([contender("small", rows_of(SCANS, gain)) for gain in (0.0, 0.01, 0.02)])
    assert found.names == ("small", "small (2)", "small (3)")
    assert found.gains["small (3)"][5].value == pytest.approx(2 * found.gains["small (2)"][5].value)
    text = markdown(found)
    assert "3 models on 3 objects" in text
    assert "+0.040 [+0.040, +0.040]" in text


@pytest.mark.parametrize("key", sorted(RULES))
def test_evaluations_by_other_rules_are_refused_with_what_differs(key: str) -> None:
    one, two = contender("one", rows_of(SCANS)), contender("two", rows_of(SCANS), **{key: "other"})
    with pytest.raises(RecipeError, match=key.replace("_", " ")) as caught:
        compare([one, two])
    assert caught.value.code == "RESULTS_UNFIT"


def test_one_model_alone_is_no_comparison() -> None:
    with pytest.raises(RecipeError, match="two folders"):
        compare([contender("one", rows_of(SCANS))])


def ledger_in(folder: Path, name: str, levels: dict[str, float]) -> Path:
    """Write the ledger of a finished evaluation and return its folder."""
    folder.mkdir()
    ledger = Ledger.open(folder / "ledger.jsonl", {**RULES, "model": name})
    for case, level in levels.items():
        ledger.add(case, rows_of({case: level}), {})
    return folder


def test_the_command_writes_a_table_and_replaces_none_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ledger_in(tmp_path / "one", "small", SCANS)
    two = ledger_in(tmp_path / "two", "ball", {case: level / 2 for case, level in SCANS.items()})
    out = tmp_path / "table"
    assert main(["evaluate", "compare", str(one), str(two), "-o", str(out)]) == 0
    assert "3 objects" in capsys.readouterr().out
    plain = json.loads((out / "comparison.json").read_text())
    assert plain["compared_with"] == "small"
    assert plain["gains"]["ball"]["1"]["value"] == pytest.approx(-0.25)
    assert "| ball |" in (out / "comparison.md").read_text()
    with pytest.raises(FormatError) as caught:
        EvaluateCompareJob((one, two), out).run()
    assert caught.value.code == "OUTPUT_EXISTS"
    job = EvaluateCompareJob((one, two), out, overwrite=True)
    assert EvaluateCompareJob.from_json(json.loads(json.dumps(job.to_json()))) == job
    job.run()


def test_a_folder_without_an_evaluation_and_a_damaged_ledger_are_named(tmp_path: Path) -> None:
    one = ledger_in(tmp_path / "one", "small", SCANS)
    with pytest.raises(RecipeError, match="no evaluation here"):
        EvaluateCompareJob((one, tmp_path), tmp_path / "out").run()
    path = ledger_in(tmp_path / "two", "ball", SCANS) / "ledger.jsonl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FormatError, match="damaged") as caught:
        EvaluateCompareJob((one, path.parent), tmp_path / "out").run()
    assert caught.value.code == "INPUT_CORRUPT"
    assert not (tmp_path / "out").exists()


def test_a_baseline_is_for_clicks_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("[]")
    code = main(["evaluate", "auto", str(tmp_path / "x.json"), "-o", str(tmp_path / "o"), "--baseline", "ball"])
    assert code == 2
    assert "--baseline ball answers clicks" in capsys.readouterr().err
