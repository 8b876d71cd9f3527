"""`prosect segment`: one scan in, one label file out, and nothing at all on refusal."""

from __future__ import annotations

import os

import pytest

import prosect
from prosect.errors import CheckpointError, ResourceError, VocabularyError
from worlds.refusals import names, refused_command


def test_a_scan_becomes_a_label_file_on_its_grid(run, model, scan_path, tmp_path) -> None:
    status, out, err = run("segment", scan_path, "-o", tmp_path / "out.nii.gz")
    assert (status, err) == (0, "")
    labels = prosect.read_labels(tmp_path / "out.nii.gz")
    scan = prosect.read(scan_path)
    assert labels.grid == scan.grid
    assert ((labels.array == 1) == (scan.array > 0)).all()
    assert labels.names[1] == "liver"
    rows = [line.split() for line in out.splitlines()]
    assert ["liver", "4.3", "55"] in rows, "96 voxels of 45 cubic mm, all of 55 HU"
    assert str(tmp_path / "out.nii.gz") in out


def test_the_flag_i_is_the_positional_input(run, model, scan_path, tmp_path) -> None:
    assert run("segment", "-i", scan_path, "-o", tmp_path / "out.nrrd")[0] == 0
    assert "out.nrrd" in names(tmp_path)


def test_flags_reach_the_model(run, model, scan_path, tmp_path) -> None:
    weights = tmp_path / "model.pt"
    weights.touch()
    words = ["-m", "vista3d", "-w", weights, "-d", "gpu:1", "--profile", "bundle", "-ml"]
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", *words)[0] == 0
    assert model.calls == [{"load": "vista3d", "weights": weights, "device": "cuda:1", "profile": "bundle"}]


def test_groups_expand_visibly_and_layers_are_written(run, model, scan_path, tmp_path) -> None:
    status, out, _ = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "--overlap", "-rs", "kidney", "liver")
    assert status == 0
    assert "kidney: right kidney, left kidney" in out or "kidney: left kidney, right kidney" in out
    assert len(prosect.read_labels(tmp_path / "o.nii.gz").layers) == 3


def test_a_preview_lies_beside_the_output(run, model, scan_path, tmp_path) -> None:
    status, out, _ = run("segment", scan_path, "-o", tmp_path / "out.nii.gz", "-p")
    assert status == 0
    assert (tmp_path / "out_preview.png").read_bytes().startswith(b"\x89PNG")
    assert "out_preview.png" in out


def test_a_dry_run_prints_the_plan_and_writes_nothing(run, model, scan_path, tmp_path) -> None:
    before = names(tmp_path)
    for words in ([], ["-o", tmp_path / "o.nii.gz", "-p"]):
        status, out, _ = run("segment", scan_path, "--dry-run", *words)
        assert status == 0
        assert "peak 1.5 GiB" in out
    assert names(tmp_path) == before


def test_a_phantom_needs_no_input(run, model, tmp_path) -> None:
    status, out, _ = run("segment", "--phantom", "head-neck", "-o", tmp_path / "o.nii.gz")
    assert status == 0
    assert "liver" in out


def test_quiet_prints_nothing_and_verbose_prints_notes(run, model, scan_path, tmp_path) -> None:
    assert run("segment", scan_path, "-o", tmp_path / "a.nii.gz", "-q") == (0, "", "")
    assert "note: something was assumed" in run("segment", scan_path, "-o", tmp_path / "b.nii.gz", "-v")[1]


def test_nothing_found_is_said_and_written(run, model, scan_path, tmp_path, monkeypatch) -> None:
    honest = model.segment
    monkeypatch.setattr(type(model), "segment", lambda self, volume, **k: type(honest(volume))(
        honest(volume).array * 0, volume.grid, self.vocabulary))  # fmt: skip
    status, out, _ = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "-p")
    assert status == 0
    assert "Nothing found" in out
    assert {"o.nii.gz", "o_preview.png"} <= names(tmp_path)


class TestRefusals:
    """Each ends with one line, its own exit code, no traceback, no model loaded and no file."""

    def refused(self, run, model, tmp_path, status: int, code: str, *words: object) -> None:
        refused_command(run, tmp_path, code, "segment", *words, status=status)
        assert model.calls == []

    def test_an_existing_output(self, run, model, scan_path, tmp_path) -> None:
        (tmp_path / "o.nii.gz").write_bytes(b"precious")
        self.refused(run, model, tmp_path, 3, "OUTPUT_EXISTS", scan_path, "-o", tmp_path / "o.nii.gz")
        assert (tmp_path / "o.nii.gz").read_bytes() == b"precious"

    def test_an_existing_preview(self, run, model, scan_path, tmp_path) -> None:
        (tmp_path / "o_preview.png").write_bytes(b"precious")
        self.refused(run, model, tmp_path, 3, "OUTPUT_EXISTS", scan_path, "-o", tmp_path / "o.nii.gz", "-p")

    @pytest.mark.parametrize("link", [None, os.link, os.symlink])
    def test_the_input_itself_even_with_overwrite(self, run, model, scan_path, tmp_path, link) -> None:
        output = scan_path
        if link is not None:
            output = tmp_path / "link.nii.gz"
            link(scan_path, output)
        self.refused(run, model, tmp_path, 3, "OUTPUT_IS_INPUT", scan_path, "-o", output, "--overwrite")

    def test_an_unknown_suffix(self, run, model, scan_path, tmp_path) -> None:
        self.refused(run, model, tmp_path, 3, "OUTPUT_FORMAT_UNKNOWN", scan_path, "-o", tmp_path / "o.jpg")

    def test_a_missing_folder(self, run, model, scan_path, tmp_path) -> None:
        self.refused(run, model, tmp_path, 3, "OUTPUT_UNWRITABLE", scan_path, "-o", tmp_path / "no" / "o.nii.gz")

    def test_a_truncated_scan(self, run, model, scan_path, tmp_path) -> None:
        scan_path.write_bytes(scan_path.read_bytes()[:-20])
        self.refused(run, model, tmp_path, 3, "INPUT_TRUNCATED", scan_path, "-o", tmp_path / "o.nii.gz")

    def test_text_named_as_a_scan(self, run, model, tmp_path) -> None:
        (tmp_path / "a.nii.gz").write_text("<html>not found</html>")
        words = tmp_path / "a.nii.gz", "-o", tmp_path / "o.nii.gz"
        self.refused(run, model, tmp_path, 3, "INPUT_NOT_AN_IMAGE", *words)


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (VocabularyError("'livr' is unknown"), 3, "[STRUCTURE_UNKNOWN]: 'livr' is unknown"),
        (ResourceError("too large", code="MEMORY_EXHAUSTED"), 5, "[MEMORY_EXHAUSTED]: too large"),
        (CheckpointError("damaged"), 6, "[MODEL_CORRUPT]: damaged"),
        (MemoryError(), 5, "[MEMORY_EXHAUSTED]"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("one\ntwo"), 1, "internal bug (ZeroDivisionError: one two)"),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, BaseException) else None,
)
def test_every_failure_has_its_exit_code_and_leaves_no_file(
    run, model, scan_path, tmp_path, failure, status, said
) -> None:
    model.failure = failure
    before = names(tmp_path)
    got, out, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz")
    assert (got, out) == (status, "")
    assert said in err
    assert err.count("\n") == 1
    assert names(tmp_path) == before


def test_debug_adds_the_traceback(run, model, scan_path, tmp_path) -> None:
    model.failure = ZeroDivisionError("why")
    status, _, err = run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "--debug")
    assert status == 1
    assert "Traceback" in err


def test_overwrite_replaces_the_old_result(run, model, scan_path, tmp_path) -> None:
    (tmp_path / "o.nii.gz").write_bytes(b"old")
    assert run("segment", scan_path, "-o", tmp_path / "o.nii.gz", "--overwrite")[0] == 0
    assert prosect.read_labels(tmp_path / "o.nii.gz").array.max() == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.nii", "-i", "b.nii", "-o", "o.nii"],
        ["a.nii", "--phantom", "torso", "-o", "o.nii"],
        ["--phantom", "torso", "--volume", "1", "-o", "o.nii"],
        ["a.nii"],
        ["a.nii", "-o", "o.nii", "-d", "tpu"],
        ["a.nii", "-o", "o.nii", "-d", "cuda:"],
        ["a.nii", "-o", "o.nii", "--volume", "-1"],
        ["a.nii", "-o", "o.nii", "--profile", "fast"],
        ["a.nii", "-o", "o.nii", "--wrong"],
        ["--phantom", "cat", "-o", "o.nii"],
        ["a.nii", "-o", "o.nii", "-q", "-v"],
        ["a.nii", "-o", "o.nii", "-rs"],
    ],
)
def test_wrong_usage_is_exit_2(run, model, words) -> None:
    status, out, err = run("segment", *words)
    assert (status, out) == (2, "")
    assert "usage:" in err
    assert model.calls == []
