"""Which files an output name and its flags stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prosect import vocabulary
from prosect.errors import FormatError
from prosect.results import planned_files, request_for
from prosect.results.request import structure_key, structure_keys

LIVER = vocabulary.load("prosect")["liver"]


def named(tmp_path: Path, output: str, **flags) -> set[str]:
    """Return the files of a request by their place below the folder, the liver's masks among them."""
    request = request_for(tmp_path / output, **flags)
    inside = [*request.label_files, *request.statistics_files, request.preview_file, request.report_file]
    files = [path for path in (*inside, *request.mask_files("liver")) if path is not None]
    return {path.relative_to(tmp_path).as_posix() for path in files}


@pytest.mark.parametrize(
    ("output", "flags", "files"),
    [
        ("a.nii.gz", {}, {"a.nii.gz"}),
        ("a.b.nii", {"multilabel": True}, {"a.b.nii"}),
        ("a.seg.nrrd", {"kinds": ("seg.nrrd",)}, {"a.seg.nrrd"}),
        ("a.seg.nrrd", {"kinds": ("nrrd",)}, {"a.seg.nrrd"}),
        ("out", {}, {"out/liver.nii.gz", "out/report.json"}),
        ("out", {"per_class": True}, {"out/liver.nii.gz", "out/report.json"}),
        ("out", {"multilabel": True}, {"out/labels.nii.gz", "out/report.json"}),
        ("out", {"multilabel": True, "per_class": True},
         {"out/labels.nii.gz", "out/liver.nii.gz", "out/report.json"}),
        ("out", {"kinds": ("mha",)}, {"out/liver.mha", "out/report.json"}),
        ("out", {"kinds": ("seg.nrrd",)}, {"out/labels.seg.nrrd", "out/report.json"}),
        ("out", {"kinds": ("nifti", "seg.nrrd")}, {"out/labels.seg.nrrd", "out/liver.nii.gz", "out/report.json"}),
        ("v1.2", {"is_folder": True}, {"v1.2/liver.nii.gz", "v1.2/report.json"}),
        ("v1.2", {"per_class": True}, {"v1.2/liver.nii.gz", "v1.2/report.json"}),
        ("a.nii.gz", {"statistics": True, "preview": True, "report": True},
         {"a.nii.gz", "a_statistics.json", "a_statistics.csv", "a_preview.png", "a_report.json"}),
        ("out", {"multilabel": True, "statistics": True, "preview": True},
         {"out/labels.nii.gz", "out/statistics.json", "out/statistics.csv", "out/preview.png", "out/report.json"}),
    ],
)  # fmt: skip
def test_a_name_and_flags_stand_for_these_files(tmp_path, output, flags, files) -> None:
    assert named(tmp_path, output, **flags) == files


def test_either_name_stands_for_both_files_of_statistics(tmp_path: Path) -> None:
    for name in ("s.json", "s.csv"):
        request = request_for(tmp_path / "a.nii", statistics=tmp_path / name)
        assert request.statistics_files == (tmp_path / "s.json", tmp_path / "s.csv")


def test_an_existing_folder_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "v1.2").mkdir()
    assert request_for(tmp_path / "v1.2").is_folder


def test_a_folder_counts_as_one_place_and_files_outside_it_each(tmp_path: Path) -> None:
    request = request_for(tmp_path / "out", statistics=tmp_path / "s.json", preview=True)
    assert planned_files(request) == (tmp_path / "out", tmp_path / "s.json", tmp_path / "s.csv")
    assert planned_files(request_for(tmp_path / "a.mha")) == (tmp_path / "a.mha",)


@pytest.mark.parametrize(
    ("output", "flags", "code"),
    [
        ("a.jpg", {}, "OUTPUT_FORMAT_UNKNOWN"),
        (".nii.gz.txt", {}, "OUTPUT_FORMAT_UNKNOWN"),
        ("a.nii.gz", {"per_class": True}, "OUTPUT_UNSUPPORTED"),
        ("a.nii.gz", {"kinds": ("mha",)}, "OUTPUT_UNSUPPORTED"),
        ("a.nii.gz", {"kinds": ("nifti", "nrrd")}, "OUTPUT_UNSUPPORTED"),
        ("out", {"kinds": ("seg.nrrd",), "per_class": True}, "OUTPUT_UNSUPPORTED"),
    ],
)
def test_contradictions_are_refused(tmp_path, output, flags, code) -> None:
    with pytest.raises(FormatError) as caught:
        request_for(tmp_path / output, **flags)
    assert caught.value.code == code


@pytest.mark.parametrize("name", vocabulary.NAMES)
def test_every_structure_has_a_file_name_of_its_own_on_any_file_system(name: str) -> None:
    keys = [structure_key(structure) for structure in vocabulary.load(name)]
    assert len({key.casefold() for key in keys}) == len(keys)
    assert not {"labels", "report", "statistics", "preview"} & set(keys)
    assert all(key.isascii() and not set(key) & set(' /\\:*?"<>|()') for key in keys)
    assert structure_key(vocabulary.load(name)["left kidney"]) == "left_kidney"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("left kidney", "left_kidney"),
        ("Brain-Stem", "brain_stem"),
        ("vertebrae L5", "vertebrae_L5"),
        ("Right-FRP---frontal-pole", "right_frp_frontal_pole"),
    ],
)
def test_mask_files_have_names_of_one_style(name: str, key: str) -> None:
    words = vocabulary.load("prosect")
    assert structure_key(words[name]) == key
    assert words.find(key).name == name, "and are found by them"


def test_names_that_differ_in_spelling_only_do_not_share_a_file() -> None:
    names = {400: "my lesion", 401: "My-Lesion", 402: "other"}
    structures = [replace(LIVER, index=index, name=name) for index, name in names.items()]
    assert structure_keys(structures) == {400: "my_lesion_400", 401: "my_lesion_401", 402: "other"}
