"""Header and voxels in two files, and FreeSurfer volumes, are what nibabel reads of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.analyze import AnalyzeImage
from numpy.typing import NDArray

from prosect.errors import GeometryError
from prosect.io import read, read_labels
from worlds.files import letter_f, oblique
from worlds.refusals import refused_file

SCAN = letter_f()


def equal(path: Path, array: NDArray[Any], affine: NDArray[Any], tolerance: float = 1e-4, **options: Any) -> None:
    """Require that a file is read with these voxels (i j k), where nibabel puts them."""
    volume = read(path, **options)
    assert np.array_equal(volume.array, array)
    assert np.abs(volume.grid.affine - affine).max() < tolerance


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair], ids=["version 1", "version 2"])
@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_a_pair_is_read_by_either_of_its_files(tmp_path: Path, kind: Any, ending: str) -> None:
    affine = oblique()
    nib.save(kind(SCAN, affine), tmp_path / "a.img")
    equal(tmp_path / f"a{ending}", SCAN, nib.load(tmp_path / "a.hdr").affine)


def test_a_gzipped_pair_and_one_in_capitals_are_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(SCAN, oblique()), tmp_path / "a.img")
    header, voxels = (tmp_path / "a.hdr").read_bytes(), (tmp_path / "a.img").read_bytes()
    (tmp_path / "b.hdr.gz").write_bytes(gzip.compress(header))
    (tmp_path / "b.img.gz").write_bytes(gzip.compress(voxels))
    (tmp_path / "C.HDR").write_bytes(header)
    (tmp_path / "C.IMG").write_bytes(voxels)
    for name in ("b.hdr.gz", "b.img.gz", "C.HDR", "C.IMG"):
        equal(tmp_path / name, SCAN, oblique())


def test_slope_and_volumes_of_a_pair_count(tmp_path: Path) -> None:
    image = nib.Nifti1Pair(np.stack([SCAN, SCAN + 5], axis=-1), oblique())
    image.header.set_slope_inter(2.0, 10.0)
    nib.save(image, tmp_path / "a.img")
    refused_file(tmp_path / "a.hdr", "INPUT_SEVERAL_VOLUMES")
    expected = np.asanyarray(nib.load(tmp_path / "a.hdr").dataobj)[..., 1]
    assert np.allclose(read(tmp_path / "a.hdr", volume=1).array, expected)


def test_labels_in_a_pair_are_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair((SCAN > 0).astype(np.uint8), oblique()), tmp_path / "a.img")
    assert np.array_equal(read_labels(tmp_path / "a.img").array, SCAN > 0)


def test_an_analyze_pair_is_read_where_its_orientation_is_stated(tmp_path: Path) -> None:
    image = AnalyzeImage(SCAN, np.diag([2.0, 3, 4, 1]))
    nib.save(image, tmp_path / "a.img")
    message = refused_file(tmp_path / "a.hdr", "GEOMETRY_INVALID", GeometryError)
    assert "--assume-orientation" in message
    volume = read(tmp_path / "a.img", assume_orientation="LAS")
    assert np.array_equal(volume.array, SCAN)
    assert volume.grid.orientation == "LAS"
    assert np.allclose(volume.grid.spacing_mm, [2, 3, 4])
    assert "LAS was assumed" in " ".join(volume.source.notes)


def test_a_pair_that_lost_a_file_or_bytes_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(SCAN, oblique()), tmp_path / "a.img")
    voxels = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(voxels[:-10])
    with pytest.raises(Exception, match=r"a\.img: the file ends early"):
        read(tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    assert ".img" in refused_file(tmp_path / "a.hdr", "INPUT_DETACHED")
    (tmp_path / "b.img").write_bytes(bytes(5000))
    assert ".hdr" in refused_file(tmp_path / "b.img", "INPUT_DETACHED")


@pytest.mark.parametrize("ending", [".mgz", ".mgh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_a_freesurfer_volume_lies_where_nibabel_puts_it(tmp_path: Path, ending: str, dtype: Any) -> None:
    path = tmp_path / f"a{ending}"
    array = np.abs(SCAN).astype(dtype) if dtype == np.uint8 else SCAN.astype(dtype)
    image = nib.MGHImage(array, oblique())
    nib.save(image, path)
    equal(path, array, image.header.get_affine())


def test_frames_and_labels_of_freesurfer_are_read(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(np.stack([SCAN, SCAN * 2], axis=-1).astype(np.float32), oblique()), tmp_path / "a.mgz")
    refused_file(tmp_path / "a.mgz", "INPUT_SEVERAL_VOLUMES")
    assert np.array_equal(read(tmp_path / "a.mgz", volume=1).array, SCAN * 2)
    nib.save(nib.MGHImage(np.abs(SCAN).astype(np.int32) % 2000, oblique()), tmp_path / "aseg.mgz")
    assert np.array_equal(read_labels(tmp_path / "aseg.mgz").array, np.abs(SCAN) % 2000)


def test_a_freesurfer_volume_may_end_in_tags_but_not_early(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(SCAN.astype(np.float32), oblique()), tmp_path / "a.mgh")
    raw = (tmp_path / "a.mgh").read_bytes()
    (tmp_path / "b.mgz").write_bytes(gzip.compress(raw + b"tag " * 1000))
    equal(tmp_path / "b.mgz", SCAN, oblique())
    need = 284 + SCAN.size * 4
    (tmp_path / "c.mgh").write_bytes(raw[: need - 1])
    refused_file(tmp_path / "c.mgh", "INPUT_TRUNCATED")
    (tmp_path / "d.mgz").write_bytes(gzip.compress(raw)[:-9])
    refused_file(tmp_path / "d.mgz", "INPUT_TRUNCATED")
    (tmp_path / "e.mgh").write_bytes(raw[:20] + b"\0\0\0\x07" + raw[24:])
    refused_file(tmp_path / "e.mgh", "INPUT_HEADER_INVALID")
    (tmp_path / "f.mgh").write_bytes(raw[:28] + b"\0\0" + raw[30:])
    refused_file(tmp_path / "f.mgh", "GEOMETRY_INVALID", GeometryError)
