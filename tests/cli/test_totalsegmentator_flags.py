"""Every flag of TotalSegmentator 2.18, by its names there: what becomes of it here, read by the parser alone."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from prosect.cli.arguments import build_parser, check
from prosect.cli.arguments.totalsegmentator import NEEDLESS, REFUSED

# Names, values that follow, and the place and value that it has here.
MEANT: tuple[tuple[tuple[str, ...], tuple[str, ...], str, object], ...] = (
    (("-ot", "--output_type"), ("nifti",), "output_type", ("nifti",)),
    (("-ot", "--output_type"), ("dicom_seg", "dicom_rtstruct"), "output_type", ("dicom_seg", "dicom_rtstruct")),
    (("-ot", "--output_type"), ("dicom_seg,nifti",), "output_type", ("dicom_seg", "nifti")),
    (("-ot", "--output_type"), ("dicom",), "output_type", ("dicom_rtstruct",)),
    (("-ml", "--ml"), (), "ml", True),
    (("-f", "--fast"), (), "fast", True),
    (("-ff", "--fastest"), (), "fast", True),
    (("-p", "--preview"), (), "preview", True),
    (("-ta", "--task"), ("total",), "task", "total"),
    (("-ta", "--task"), ("body",), "task", "body"),
    (("-rs", "--roi_subset"), ("liver", "spleen"), "roi_subset", ["liver", "spleen"]),
    (("-rsr", "--roi_subset_robust"), ("liver",), "roi_subset", ["liver"]),
    (("-s", "--statistics"), (), "statistics", True),
    (("-s", "--statistics"), ("here.json",), "statistics", Path("here.json")),
    (("-sx", "--statistics_extra"), (), "statistics_extra", True),
    (("-sa", "--stats_aggregation"), ("median",), "aggregation", "median"),
    (("-r", "--radiomics"), (), "radiomics", True),
    (("-rp", "--report"), ("run.json",), "report", Path("run.json")),
    (("-rmb", "--remove_small_blobs"), (), "least_mm3", 200.0),
    (("-rmb", "--remove_small_blobs"), ("50",), "least_mm3", 50.0),
    (("-d", "--device"), ("gpu",), "device", "cuda"),
    (("-d", "--device"), ("cpu",), "device", "cpu"),
    (("-d", "--device"), ("mps",), "device", "mps"),
    (("-d", "--device"), ("gpu:1",), "device", "cuda:1"),
    (("-sp", "--save_probabilities"), ("p.nii.gz",), "probabilities", Path("p.nii.gz")),
    (("-q",), (), "quiet", True),
    (("-v",), (), "verbose", True),
    (("--debug",), (), "debug", True),
    (("-lt", "--list-tasks"), (), "list_tasks", True),
    (("-lc", "--list-classes"), (), "list_classes", "total"),
    (("-lc", "--list-classes"), ("body",), "list_classes", "body"),
)
# Names and values of those that are taken, and told that they are not needed.
NOTED: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("-nr", "--nr_thr_resamp"), ("4",)),
    (("-ns", "--nr_thr_saving"), ("4",)),
    (("-ro", "--resampling_order"), ("3",)),
    (("-t", "--nora_tag"), ("my_tag",)),
    (("-ms", "--model_size"), ("big",)),
    (("-rc", "--robust_crop"), ()),
    (("-ho", "--higher_order_resampling", "--high_order_resampling", "--higher_order_resampling_LEGACY"), ()),
    (("-sii", "--stats_include_incomplete"), ()),
    (("-cp", "--crop_path"), ("crop.nii.gz",)),
    (("-bs", "--body_seg"), ()),
    (("-fs", "--force_split"), ()),
    (("-ss", "--skip_saving"), ()),
    (("-ndm", "--no_derived_masks"), ()),
    (("-l", "--license_number"), ("aca_12345",)),
)
# Those that are refused, and words of the nearest way.
TURNED_AWAY: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("-sl", "--save_lowres"), (), "resample the scan first"),
    (("-v1o", "--v1_order"), (), "--renumber counts from 1"),
    (("--test",), ("1",), "prosect doctor"),
)


def read(words: Sequence[str]) -> tuple[int, argparse.Namespace, str]:
    """Return the exit status of the parser (0 where it goes on), what it understood, and what it complained of."""
    parser = build_parser(str)
    complaint = io.StringIO()
    args = argparse.Namespace()
    with contextlib.redirect_stderr(complaint):
        try:
            args = parser.parse_args(["segment", "-i", "ct.nii.gz", "-o", "out", *words])
            check(parser, args)
        except SystemExit as leaving:
            return int(leaving.code or 0), args, complaint.getvalue()
    return 0, args, complaint.getvalue()


def each_name(rows: Sequence[tuple[object, ...]]) -> list[object]:
    """Return the rows as cases, one for each name of a flag."""
    cases = []
    for names, values, *rest in rows:
        assert isinstance(names, tuple)
        assert isinstance(values, tuple)
        for name in names:
            cases.append(pytest.param(name, values, *rest, id=" ".join((name, *values))))
    return cases


@pytest.mark.parametrize(("name", "values", "place", "value"), each_name(MEANT))
def test_a_flag_that_is_meant_means_what_it_does_there(
    name: str, values: tuple[str, ...], place: str, value: object
) -> None:
    status, args, complaint = read([name, *values])
    assert (status, complaint) == (0, "")
    assert getattr(args, place) == value
    assert args.flag_notes == ()


@pytest.mark.parametrize(("name", "values"), each_name(NOTED))
def test_a_flag_that_is_not_needed_is_taken_with_a_note_and_changes_nothing(name: str, values: tuple[str, ...]) -> None:
    plain, (status, args, complaint) = vars(read([])[1]), read([name, *values])
    assert (status, complaint) == (0, "")
    (note,) = args.flag_notes
    assert note.startswith(f"{name} is not needed: ")
    assert vars(args) == {**plain, "flag_notes": (note,)}, "it was read as another flag"


@pytest.mark.parametrize(("name", "values", "way"), each_name(TURNED_AWAY))
def test_a_flag_that_is_refused_names_the_nearest_way(name: str, values: tuple[str, ...], way: str) -> None:
    status, _, complaint = read([name, *values])
    assert status == 2
    assert f"{name} is not offered: " in complaint
    assert way in complaint


def test_the_table_has_every_flag_that_the_source_names() -> None:
    noted = {names for names, _ in NOTED}
    assert noted == {flag.names for flag in NEEDLESS}
    assert {names for names, _, _ in TURNED_AWAY} == {flag.names for flag in REFUSED}


def test_input_output_and_version_are_flags_here_too() -> None:
    _, args, _ = read([])
    assert (args.input, args.output) == (Path("ct.nii.gz"), Path("out"))
    status, _, _ = read(["--version"])
    assert status == 0


def test_a_command_line_with_many_of_them_is_understood_at_once() -> None:
    line = "-ta total -ml -f -s -rs liver spleen -d gpu -nr 4 -ns 8 -bs -fs -ho -p -q"
    status, args, complaint = read(line.split(" "))
    assert (status, complaint, len(args.flag_notes)) == (0, "", 5)
    assert (args.roi_subset, args.device, args.fast, args.statistics) == (["liver", "spleen"], "cuda", True, True)
