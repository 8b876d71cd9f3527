"""An evaluation goes on where it was killed, and what it writes can be read again."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from prosect.data.labelled import LabelledScan
from prosect.errors import CancelledError, CheckpointError, FormatError, ProsectError
from prosect.evaluation.ledger import Ledger
from prosect.evaluation.protocols import Rules
from prosect.evaluation.published import challenge_rows, table1_rows, table2_rows, table3_rows
from prosect.evaluation.running import Examination, evaluation_of, examine, write
from prosect.evaluation.scores import Row
from scan_lists import write_list

SETTINGS = {"protocol": "auto", "scans": 2}


def row(dataset: str, index: int) -> Row:
    """Return a row of a data set."""
    return Row("a", dataset, "x", index, 0, 0.5, 0.5, 1.0, 1.0, 0.0)


def test_a_killed_evaluation_goes_on(tmp_path: Path, scan: LabelledScan, model) -> None:
    path, exam = tmp_path / "ledger.jsonl", Examination("auto", Rules())
    one, both = write_list(tmp_path, scan, "one"), write_list(tmp_path, scan, "one", "two")
    examine(one, model, exam, Ledger.open(path, SETTINGS))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:40])  # cut by a kill
    ledger = Ledger.open(path, SETTINGS)
    both.entries[0].image.unlink()
    examine(both, model, exam, ledger)
    assert not ledger.refused, "what is done is not read again"
    assert set(Ledger.open(path, SETTINGS).rows) == {"one", "two"}
    assert Ledger.open(path, SETTINGS).all_rows == ledger.all_rows


def test_results_of_another_evaluation_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path, SETTINGS)
    with pytest.raises(FormatError) as refused:
        Ledger.open(path, {**SETTINGS, "scans": 3})
    assert refused.value.code == "RUN_CHANGED"
    assert not Ledger.open(path, {**SETTINGS, "scans": 3}, overwrite=True).rows


def test_a_scan_that_cannot_be_judged_is_noted_and_the_others_go_on(tmp_path: Path, scan, model) -> None:
    datalist = write_list(tmp_path, scan, "bad", "one")
    image = datalist.entries[0].image
    image.write_bytes(image.read_bytes()[:-40])
    ledger = Ledger.open(tmp_path / "l", SETTINGS)
    said: list[str] = []
    exam = Examination("auto", Rules())
    examine(datalist, model, exam, ledger, lambda name, word: said.append(word))
    found = evaluation_of(ledger, exam)
    assert [r.case for r in found.refused] == ["bad"]
    assert {r.case for r in found.rows} == {"one"}
    assert "INPUT_TRUNCATED" in said[0]
    assert "INPUT_TRUNCATED" in (write(found, tmp_path)[3]).read_text()


@pytest.mark.parametrize(
    "error", [CheckpointError("no interactive branch", code="MODEL_NO_CLICKS"), CancelledError("ended by the user")]
)
def test_what_would_end_every_scan_ends_it_at_once(tmp_path: Path, scan, model, error: ProsectError) -> None:
    def refuse(volume: object) -> None:
        raise error

    model.session = refuse
    ledger = Ledger.open(tmp_path / "l", SETTINGS)
    with pytest.raises(type(error)):
        examine(write_list(tmp_path, scan, "a", "b"), model, Examination("clicks", Rules()), ledger)
    assert not ledger.refused


@pytest.mark.parametrize("protocol", ["auto", "point", "auto+point", "clicks", "speed"])
def test_every_protocol_writes_figures_tables_words_and_pictures(tmp_path: Path, scan, model, protocol: str) -> None:
    rules = Rules(count=5, clicker="challenge" if protocol == "clicks" else "person")
    exam = Examination(protocol, rules)
    ledger = Ledger.open(tmp_path / "ledger.jsonl", {"protocol": protocol})
    examine(write_list(tmp_path, scan), model, exam, ledger)
    files = write(evaluation_of(ledger, exam), tmp_path)
    plain = json.loads((tmp_path / "results.json").read_text())
    assert plain["schema"] == "prosect-evaluation/1"
    rows = list(csv.DictReader((tmp_path / "cases.csv").read_text().splitlines()))
    assert len(rows) == len(ledger.all_rows)
    told = (tmp_path / "report.md").read_text()
    assert "Published" in told
    pictures = [path for path in files if path.suffix == ".png"]
    assert pictures
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    if protocol == "clicks":
        assert plain["challenge"]["dsc_auc"]["count"] == 1
        assert "dsc_auc" in told
    if protocol == "auto":
        assert "1 of 1" in told, "the aorta that is not there"
        assert plain["sections"]["auto"]["means"]["dice"]["value"] == pytest.approx((1 + 2 / 3 + 0) / 3)
        assert "MSD09 spleen" in told, "the published row of the same data set"
        assert "MSD06" not in told


def test_the_same_evaluation_is_written_byte_for_byte_alike(tmp_path: Path, scan, model) -> None:
    exam = Examination("clicks", Rules(count=3))
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ledger = Ledger.open(tmp_path / name / "l", SETTINGS)
        examine(write_list(tmp_path, scan), model, exam, ledger)
        written.append([path.read_bytes() for path in write(evaluation_of(ledger, exam), tmp_path / name)])
    assert written[0] == written[1]


def test_published_figures_are_the_papers() -> None:
    average = table1_rows([])[0]
    assert (average["auto"], average["point"], average["auto+point"]) == ("0.711", "0.760", "0.792")
    spleen = table1_rows([row("Task09", 3)])[0]
    assert (spleen["nnunet"], spleen["auto"]) == ("0.967", "0.952")
    assert len(table1_rows([row("Task07", 4)])) == 1, "its row is the tumour's, not the organ's"
    assert len(table1_rows([row("AMOS22", 4)])) == 2
    assert table2_rows()[1] == {"shape": "512x512x512", "vista3d_s": "129", "totalsegmentator_s": "721"}
    assert next(line["vista3d"] for line in table3_rows("WORD")) == "0.795"
    assert len(table3_rows()) == 12
    assert challenge_rows()[1]["dsc_auc"] == "2.5054"


def test_the_average_of_table_1_is_that_of_its_rows() -> None:
    every = [row(d, int(i)) for d, i in (("Task03", 26), ("Task06", 23), ("Task07", 24), ("Task08", 26), ("Task09", 3),
             ("Task10", 27), ("AeroPath", 132), ("Bone-NIH", 128), ("BTCV-Abdomen", 1), ("BTCV-Cervix", 15),
             ("VerSe", 33), ("AbdomenCT-1K", 1), ("AMOS22", 1), ("TotalSegmentatorV2", 1))]  # fmt: skip
    rows = table1_rows(every)
    assert len(rows) == 15
    for column in ("auto3dseg", "nnunet", "auto", "point", "auto+point"):
        *values, average = (float(line[column]) for line in rows)
        assert sum(values) / 14 == pytest.approx(average, abs=0.0016), column


def test_only_speed_does_without_labels(tmp_path: Path, scan, model) -> None:
    labelled = write_list(tmp_path, scan)
    bare = replace(labelled, entries=tuple(replace(entry, label=None) for entry in labelled))
    timed, judged = Ledger.open(tmp_path / "t", SETTINGS), Ledger.open(tmp_path / "j", SETTINGS)
    examine(bare, model, Examination("speed", Rules()), timed)
    examine(bare, model, Examination("auto", Rules()), judged)
    assert "timing" in timed.facts["one"]
    assert judged.refused["one"].code == "LABEL_MISSING"
