"""One table of formats: what it says can be written is written and read, and asking it loads no image library."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from prosect.errors import FormatError
from prosect.geometry import Grid
from prosect.io import formats, read, read_labels, write
from prosect.io.formats import FORMATS, OUTPUT_TYPES, WRITTEN_ENDINGS, Format
from prosect.volume import Volume
from worlds.files import label_layers, label_map, letter_f, oblique

# What refers to a DICOM series is written in tests of its own.
FREE = [row for row in FORMATS if row.written and not row.needs_source]
STRAIGHT = Grid((7, 9, 11), oblique())


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.name)
def test_the_module_of_each_row_does_what_the_row_says(row: Format) -> None:
    module = importlib.import_module(row.module)
    if row.needs_source:
        assert all(map(callable, (module.encode, module.refuse, module.doubts)))
        return
    assert callable(module.load)
    assert not row.written or callable(module.encode)


@pytest.mark.parametrize("ending", [ending for row in FREE for ending in row.written])
def test_labels_under_every_ending_that_is_written_are_read_again(ending: str, tmp_path: Path) -> None:
    labels = label_map(STRAIGHT)
    stored = read_labels(write(labels, tmp_path / f"a{ending}"))
    assert np.array_equal(stored.array, labels.array)
    assert stored.grid.distance_to(STRAIGHT) < 1e-3


@pytest.mark.parametrize("row", FREE, ids=lambda row: row.name)
def test_layers_are_written_exactly_where_the_table_says_so(row: Format, tmp_path: Path) -> None:
    layers = label_layers(STRAIGHT)
    target = tmp_path / f"a{row.ending}"
    if row.layers:
        assert np.array_equal(read_labels(write(layers, target)).array, layers.masks)
        return
    with pytest.raises(FormatError):
        write(layers, target)
    assert not target.exists()


def test_a_scan_is_named_without_the_ending_of_its_format() -> None:
    assert formats.scan_stem("Chest.v2.NII.GZ") == "Chest.v2"
    assert formats.scan_stem("a.nrrd.mhd") == "a.nrrd"
    assert formats.scan_stem("a.txt") == "a.txt"


@pytest.mark.parametrize(
    ("file", "name"), [("a.nii", "nifti"), ("a.NII.gz", "nifti"), ("a.nrrd", "nrrd"), ("a.seg.nrrd", "seg.nrrd")]
)
def test_the_longest_ending_counts(file: str, name: str) -> None:
    row = formats.format_for(file)
    assert row is not None
    assert row.name == name


@pytest.mark.parametrize("name", [".nii.gz", ".mha", "a.nhdr", "a.mhd", "a.dcm", "a.zip", "nrrd", "a.gz", ""])
def test_what_is_not_written_has_no_format_for_writing(name: str) -> None:
    assert formats.format_for(name) is None


def test_every_output_type_has_a_row_of_its_own() -> None:
    assert len(set(OUTPUT_TYPES)) == len(OUTPUT_TYPES)
    assert [formats.format_named(name).name for name in OUTPUT_TYPES] == list(OUTPUT_TYPES)
    assert len(set(WRITTEN_ENDINGS)) == len(WRITTEN_ENDINGS)


def test_a_name_that_promises_another_format_is_said(tmp_path: Path) -> None:
    path = write(Volume(letter_f().astype(np.float32), STRAIGHT), tmp_path / "a.nrrd").rename(tmp_path / "a.nii")
    with pytest.warns(UserWarning, match=r"content is nrrd though the name does not end in \.nrrd or \.nhdr"):
        read(path)


def test_asking_the_table_loads_no_library() -> None:
    code = (
        "import sys, prosect.io.formats\n"
        "assert not {'numpy', 'torch', 'nibabel', 'pydicom'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
