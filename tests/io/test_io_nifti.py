"""NIfTI: what is read is right or refused, what is written is deterministic and lies where the scan lay."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prosect.errors import FormatError, GeometryError, ProsectWarning, ResourceError
from prosect.geometry import Grid
from prosect.io import nifti, nifti_header, payload, read, read_labels, write
from prosect.volume import Source, Volume
from worlds.dicom import LPS
from worlds.files import (
    BRIGHT,
    SHAPE,
    bright_world,
    gzipped,
    label_map,
    letter_f,
    oblique,
    outcome,
    save_nifti,
    set_fields,
)
from worlds.orders import ORDERS
from worlds.refusals import refused_file


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8"])
def test_every_real_voxel_type_is_read_exactly(tmp_path: Path, name: str, dtype: str) -> None:
    scan = (letter_f() % 100).astype(dtype)
    volume = read(save_nifti(tmp_path / name, scan))
    assert volume.array.dtype == np.float32
    assert np.array_equal(volume.array, scan.astype(np.float32))
    assert np.allclose(volume.grid.affine, oblique(), atol=1e-4)
    assert volume.modality is None
    assert volume.source.format == "nifti"
    assert volume.source.name == name
    assert volume.source.notes == ()
    assert len(volume.source.sha256) == 64


def test_forty_eight_storage_orders_place_every_voxel_in_the_same_world(tmp_path: Path) -> None:
    grid, scan = Grid(SHAPE, oblique()), letter_f()
    truth = bright_world(scan, grid.affine)
    for n, order in enumerate(ORDERS):
        stored = grid.reorder(order)
        volume = read(save_nifti(tmp_path / f"{n}.nii", np.ascontiguousarray(order.apply(scan)), stored.affine))
        assert np.abs(bright_world(volume.array, volume.grid.affine) - truth).max() < 1e-4
        back = volume.grid.to_ras().apply(volume.array)
        assert np.array_equal(back, grid.to_ras().apply(scan))


def test_three_libraries_agree_where_the_bright_voxel_is(tmp_path: Path) -> None:
    volume = Volume(letter_f().astype(np.float32), Grid(SHAPE, oblique()))
    truth = bright_world(volume.array, volume.grid.affine)
    path = write(volume, tmp_path / "scan.nii.gz")
    image = nib.load(path)
    assert np.abs(bright_world(np.asarray(image.dataobj), image.affine) - truth).max() < 1e-3
    itk = SimpleITK.ReadImage(str(path))
    point = itk.TransformIndexToPhysicalPoint(BRIGHT)
    assert itk[BRIGHT] == 1234
    assert np.abs(LPS[:3, :3] @ point - truth).max() < 1e-3
    ours = read(path)
    assert np.abs(bright_world(ours.array, ours.grid.affine) - truth).max() < 1e-3


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
def test_versions_and_byte_orders_read_alike(tmp_path: Path, kind: type, endianness: str) -> None:
    header = kind.header_class(endianness=endianness)
    image = kind(letter_f(), oblique(), header)
    image.header.set_data_dtype(np.dtype(endianness + "i2"))
    image.set_sform(oblique(), 1)
    image.to_filename(tmp_path / "scan.nii")
    volume = read(tmp_path / "scan.nii")
    assert np.array_equal(volume.array, letter_f().astype(np.float32))
    path = write(label_map(volume.grid), tmp_path / "labels.nii.gz", like=volume)
    assert np.array_equal(np.asarray(nib.load(path).dataobj), label_map(volume.grid).array)
    assert type(nib.load(path)) is kind
    assert nib.load(path).header.endianness == endianness
    assert read_labels(path).names == {1: "liver", 5: "kidney <left> & ]]> more"}


@pytest.mark.parametrize("keep", [0, 1, 9, 17, 30, 0.2, 0.5, 0.8, 0.95, -9, -8, -4, -1])
def test_a_cut_gzip_is_refused(tmp_path: Path, keep: float) -> None:
    whole = save_nifti(tmp_path / "a.nii.gz", letter_f()).read_bytes()
    count = int(keep * len(whole)) if isinstance(keep, float) else keep
    (tmp_path / "b.nii.gz").write_bytes(whole[:count])
    refused_file(tmp_path / "b.nii.gz", "INPUT_TRUNCATED" if count not in (0, 1) else "INPUT_NOT_AN_IMAGE")


@pytest.mark.parametrize("keep", [4, 100, 347, 348, 351, 352, 353, 0.5, -1])
def test_a_cut_plain_file_is_refused(tmp_path: Path, keep: float) -> None:
    whole = save_nifti(tmp_path / "a.nii", letter_f()).read_bytes()
    count = int(keep * len(whole)) if isinstance(keep, float) else keep
    (tmp_path / "b.nii").write_bytes(whole[:count])
    refused_file(tmp_path / "b.nii", "INPUT_TRUNCATED")


def test_every_single_flipped_bit_in_a_gzip_shows(tmp_path: Path) -> None:
    noise = np.random.default_rng(7).integers(-1000, 1000, SHAPE).astype(np.int16)
    whole = save_nifti(tmp_path / "a.nii.gz", noise).read_bytes()
    truth = read(tmp_path / "a.nii.gz").array
    path, noticed = tmp_path / "b.nii.gz", 0
    for bit in np.random.default_rng(3).choice(8 * (len(whole) - 10), 120, replace=False):
        damaged = bytearray(whole)
        damaged[10 + bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        found = outcome(path)
        noticed += isinstance(found, FormatError)  # a padding bit of the stream carries nothing
        assert isinstance(found, FormatError) or np.array_equal(found.array, truth)
    assert noticed >= 118
    for bit in range(80):  # the gzip header itself: refused, or read without any difference
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        found = outcome(path)
        assert isinstance(found, FormatError) or np.array_equal(found.array, truth)


def test_several_gzip_members_are_one_file_and_rubbish_after_them_is_refused(tmp_path: Path) -> None:
    raw = save_nifti(tmp_path / "a.nii", letter_f()).read_bytes()
    parts = gzipped(raw[:100]) + gzipped(raw[100:])
    (tmp_path / "b.nii.gz").write_bytes(parts)
    assert np.array_equal(read(tmp_path / "b.nii.gz").array, letter_f())
    (tmp_path / "b.nii.gz").write_bytes(parts + bytes(512))
    assert np.array_equal(read(tmp_path / "b.nii.gz").array, letter_f())
    (tmp_path / "b.nii.gz").write_bytes(parts + b"rubbish")
    refused_file(tmp_path / "b.nii.gz", "INPUT_CORRUPT")
    (tmp_path / "b.nii.gz").write_bytes(gzipped(raw[:-4]))
    refused_file(tmp_path / "b.nii.gz", "INPUT_TRUNCATED")
    (tmp_path / "b.nii.gz").write_bytes(gzipped(raw + bytes(2 * 9 * 11)))
    refused_file(tmp_path / "b.nii.gz", "INPUT_HEADER_INVALID")


def test_a_sibling_of_the_same_stem_is_never_read_instead(tmp_path: Path) -> None:
    save_nifti(tmp_path / "A.nii.gz", letter_f())
    save_nifti(tmp_path / "A.nii", letter_f() + 1)
    assert read(tmp_path / "A.nii.gz").array.max() == 1234
    assert read(tmp_path / "A.nii").array.max() == 1235


@pytest.mark.parametrize(("name", "other"), [("a.nii", "b.nii.gz"), ("a.nii.gz", "b.nii"), ("a.nii", "b.img")])
def test_a_lying_name_is_read_by_content_with_a_warning(tmp_path: Path, name: str, other: str) -> None:
    save_nifti(tmp_path / name, letter_f()).rename(tmp_path / other)
    with pytest.warns(ProsectWarning, match="read by content"):
        volume = read(tmp_path / other)
    assert np.array_equal(volume.array, letter_f())
    assert "read by content" in volume.source.notes[0]


@pytest.mark.parametrize("name", ["-first.nii", "Zürich 画像.nii", "new\nline.nii", "a" * 250 + ".nii"])
def test_odd_names_are_read_and_shown_on_one_line(tmp_path: Path, name: str) -> None:
    assert read(save_nifti(tmp_path / name, letter_f())).source.name.count("\n") == 0
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FormatError) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("slope", "inter", "expected"), [(0, 5, (1, 0)), (np.nan, 5, (1, 0)), (2, -1024, (2, -1024)),
                                                          (1, 0, (1, 0)), (0.1, 0.3, (0.1, 0.3))])  # fmt: skip
def test_slope_and_intercept_scale_in_double_and_slope_zero_means_none(
    tmp_path: Path, slope: float, inter: float, expected: tuple[float, float]
) -> None:
    path = save_nifti(tmp_path / "a.nii", letter_f().astype("<u2"), scl_slope=slope, scl_inter=inter)
    stored = np.float64(letter_f().astype("<u2"))
    factor, term = (float(np.float32(x)) for x in expected)
    assert np.array_equal(read(path).array, (stored * factor + term).astype(np.float32))


@pytest.mark.parametrize(("slope", "inter"), [(np.inf, 0), (1, np.nan), (2, -np.inf)])
def test_infinite_scaling_is_refused(tmp_path: Path, slope: float, inter: float) -> None:
    refused_file(save_nifti(tmp_path / "a.nii", letter_f(), scl_slope=slope, scl_inter=inter), "INPUT_HEADER_INVALID")


def test_four_axes_are_one_volume_or_a_choice(tmp_path: Path) -> None:
    scan = letter_f()
    assert np.array_equal(read(save_nifti(tmp_path / "a.nii", scan[..., None])).array, scan)
    path = save_nifti(tmp_path / "b.nii", np.stack([scan, scan + 1, scan + 2], axis=3))
    assert "3 volumes" in refused_file(path, "INPUT_SEVERAL_VOLUMES")
    assert np.array_equal(read(path, volume=2).array, scan + 2)
    refused_file(path, "INPUT_SEVERAL_VOLUMES", volume=3)
    refused_file(path, "INPUT_SEVERAL_VOLUMES", volume=-1)
    vector = save_nifti(tmp_path / "c.nii", np.zeros((4, 4, 4, 1, 3), np.float32))
    refused_file(vector, "INPUT_NOT_SCALAR")


def test_flat_colour_and_complex_images_are_refused(tmp_path: Path) -> None:
    refused_file(save_nifti(tmp_path / "flat.nii", letter_f()[..., 0]), "INPUT_NOT_3D")
    refused_file(save_nifti(tmp_path / "complex.nii", letter_f().astype(np.complex64)), "INPUT_NOT_SCALAR")
    colour = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    refused_file(save_nifti(tmp_path / "colour.nii", colour), "INPUT_NOT_SCALAR")
    assert read(save_nifti(tmp_path / "thin.nii", letter_f()[..., :1])).array.shape == (7, 9, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_one_voxel_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    scan = letter_f().astype(np.float64)
    scan[3, 3, 3] = value
    refused_file(save_nifti(tmp_path / "a.nii.gz", scan), "INPUT_NONFINITE")


@pytest.mark.parametrize(
    "fields",
    [
        {"dim": [3, 7, 9, 0, 1, 1, 1, 1]},
        {"dim": [3, 7, -9, 11, 1, 1, 1, 1]},
        {"dim": [9, 7, 9, 11, 1, 1, 1, 1]},
        {"dim": [0, 7, 9, 11, 1, 1, 1, 1]},
        {"dim": [3, 32000, 32000, 32000, 1, 1, 1, 1]},
        {"datatype": 1},
        {"datatype": 1536},
        {"datatype": 77},
        {"vox_offset": np.nan},
        {"vox_offset": 0},
        {"vox_offset": -1},
        {"vox_offset": 348},
        {"vox_offset": 352.5},
        {"vox_offset": np.inf},
        {"vox_offset": 1e30},
        {"xyzt_units": 5},
        {"bitpix": 32},
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_impossible_headers_are_refused(tmp_path: Path, name: str, fields: dict[str, object]) -> None:
    refused_file(save_nifti(tmp_path / name, letter_f(), **fields), "INPUT_HEADER_INVALID")


def test_a_header_that_promises_more_than_the_file_can_hold_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = [3, 8192, 8192, 8192, 1, 1, 1, 1]
    refused_file(save_nifti(tmp_path / "a.nii", letter_f(), dim=huge), "INPUT_TRUNCATED")
    refused_file(save_nifti(tmp_path / "a.nii.gz", letter_f(), dim=huge), "INPUT_TRUNCATED")
    bomb = save_nifti(tmp_path / "bomb.nii.gz", np.zeros((256, 256, 64), np.int16), dim=[3, 7, 9, 11, 1, 1, 1, 1])
    refused_file(bomb, "INPUT_HEADER_INVALID")
    honest = save_nifti(tmp_path / "honest.nii.gz", letter_f())
    monkeypatch.setattr(payload.psutil, "virtual_memory", lambda: type("M", (), {"available": 1000})())
    refused_file(honest, "MEMORY_EXHAUSTED", ResourceError)


def test_sform_goes_before_qform_and_disagreement_is_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(letter_f(), oblique())
    other = oblique()
    other[:3, 3] += (0, 3, 4)
    image.set_sform(oblique(), 1)
    image.set_qform(other, 1)
    image.to_filename(tmp_path / "a.nii")
    with pytest.warns(ProsectWarning, match="differ by 5 mm"):
        volume = read(tmp_path / "a.nii")
    assert np.allclose(volume.grid.affine, oblique(), atol=1e-4)
    assert "differ by 5 mm" in volume.source.notes[0]
    image.set_sform(oblique(), 0)
    image.to_filename(tmp_path / "b.nii")
    assert np.allclose(read(tmp_path / "b.nii").grid.affine, other, atol=1e-4)


def test_voxel_sizes_that_contradict_the_sform_are_said(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", letter_f(), qform_code=0, pixdim=[1, 0.7, 0.9, 5, 1, 1, 1, 1])
    with pytest.warns(ProsectWarning, match=r"0\.7 x 0\.9 x 5 mm"):
        volume = read(path)
    assert volume.grid.spacing_mm == pytest.approx((0.7, 0.9, 2.5))


def test_an_odd_handedness_of_the_qform_is_said_where_it_decides(tmp_path: Path) -> None:
    sizes = [0.7, 0.9, 2.5, 1, 1, 1, 1]
    odd = save_nifti(tmp_path / "a.nii", letter_f(), sform_code=0, qform_code=1, pixdim=[-0.3, *sizes])
    with pytest.warns(ProsectWarning, match=r"pixdim\[0\].* is -0\.3"):
        read(odd)
    read(save_nifti(tmp_path / "b.nii", letter_f(), sform_code=0, qform_code=1, pixdim=[-1, *sizes]))


def test_without_geometry_in_force_nothing_is_guessed(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", letter_f(), sform_code=0, qform_code=0)
    assert "both 0" in refused_file(path, "GEOMETRY_INVALID", GeometryError)


@pytest.mark.parametrize(
    "fields",
    [
        {"srow_x": [0, 0, 0, 0]},
        {"srow_x": [np.nan, 0, 0, 0]},
        {"srow_z": [0, 0, np.inf, 0]},
        {"srow_x": np.array([0x7F810000] * 4, "u4").view("f4")},
        {"sform_code": 0, "quatern_b": 2.0},
        {"sform_code": 0, "pixdim": [1, 0, 1, 1, 1, 1, 1, 1]},
        {"sform_code": 0, "pixdim": [1, -1, 1, 1, 1, 1, 1, 1]},
        {"sform_code": 0, "qoffset_x": np.nan},
    ],
)
def test_unusable_geometry_is_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused_file(save_nifti(tmp_path / "a.nii", letter_f(), **fields), "GEOMETRY_INVALID", GeometryError)


def test_shear_is_kept_and_survives_a_result(tmp_path: Path) -> None:
    sheared = oblique(degrees=0)
    sheared[1, 2] = 0.66
    path = save_nifti(tmp_path / "a.nii", letter_f(), qform_code=0, srow_x=sheared[0], srow_y=sheared[1],
                      srow_z=sheared[2])  # fmt: skip
    volume = read(path)
    assert volume.grid.shear > 0.2
    assert np.allclose(volume.grid.affine, sheared, atol=1e-5)
    assert read_labels(write(label_map(volume.grid), tmp_path / "b.nii", like=volume)).grid == volume.grid
    new = write(Volume(volume.array, Grid(SHAPE, sheared)), tmp_path / "c.nii")
    assert int(nib.load(new).header["qform_code"]) == 0
    assert np.allclose(read(new).grid.affine, sheared, atol=1e-5)


@pytest.mark.parametrize(("unit", "scale"), [(1, 1000.0), (3, 0.001), (2, 1.0), (0, 1.0), (10, 1.0)])
def test_lengths_in_metres_and_microns_become_mm(tmp_path: Path, unit: int, scale: float) -> None:
    affine = oblique()
    affine[:3] /= scale
    volume = read(save_nifti(tmp_path / "a.nii", letter_f(), affine, xyzt_units=unit))
    assert np.allclose(volume.grid.affine, oblique(), rtol=1e-5, atol=1e-4)
    assert bool(volume.source.notes) == (scale != 1.0)
    back = read_labels(write(label_map(volume.grid), tmp_path / "b.nii.gz", like=volume))
    assert back.grid == volume.grid


def test_modality_is_what_the_caller_says(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", letter_f())
    assert read(path, modality="mri").modality == "MR"
    with pytest.raises(FormatError, match="unknown"):
        read(path, modality="X-ray")
    refused_file(path, "USAGE", series="1.2")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 351), value=st.binary(min_size=1, max_size=8), gz=st.booleans())
def test_a_damaged_header_is_read_or_refused_but_never_an_accident(
    tmp_path: Path, position: int, value: bytes, gz: bool
) -> None:
    raw = bytearray(save_nifti(tmp_path / "a.nii", letter_f()).read_bytes())
    raw[position : position + len(value)] = value
    path = tmp_path / "fuzzed.nii"
    path.write_bytes(gzipped(bytes(raw)) if gz else bytes(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProsectWarning)
        outcome(path)
        outcome(path, read_labels)


def test_reading_nifti_loads_neither_torch_nor_monai(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii.gz", letter_f())
    heavy = "{'torch', 'monai', 'SimpleITK', 'nrrd', 'matplotlib'}"
    code = (
        f"import sys, prosect.io; prosect.io.read(sys.argv[1]); sys.exit(' '.join({heavy} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_set_fields_really_changes_the_header() -> None:
    raw = bytearray(nib.Nifti1Image(letter_f(), oblique()).to_bytes())
    set_fields(raw, sform_code=4)
    assert nib.Nifti1Image.from_bytes(bytes(raw)).header["sform_code"] == 4


def test_a_volume_round_trips_and_is_like_itself(tmp_path: Path) -> None:
    volume = read(save_nifti(tmp_path / "a.nii", letter_f(), sform_code=4))
    again = read(write(volume, tmp_path / "b.nii.gz"))
    assert np.array_equal(again.array, volume.array)
    assert again.grid == volume.grid
    assert int(nib.load(tmp_path / "b.nii.gz").header["sform_code"]) == 4
    assert isinstance(again.source, Source)


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 8)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    mirrored=st.booleans(),
)
def test_both_forms_written_place_every_corner_alike_for_any_rotation(
    angles: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...], mirrored: bool
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = origin
    if mirrored:
        affine[:3, 2] *= -1
    grid = Grid((200, 200, 200), affine)
    written = nifti.header_for(grid, None)
    assert np.abs(written.get_sform() - affine).max() < 1e-4
    # Near half a turn float32 leaves the quaternion's first part only to 1e-3; then no qform is put in force.
    assert int(written["qform_code"]) == 0 or Grid(grid.shape, nifti_header.qform(written)).distance_to(grid) < 1e-2


@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
@pytest.mark.parametrize("handed", [-1.0, 0.0, 1.0])
def test_the_qform_is_the_rotation_of_its_quaternion(kind: type, handed: float) -> None:
    b, c, d = 0.1, -0.5, 0.3
    header = kind()
    header["pixdim"][:4] = [handed, 2, 3, 4]
    for name, value in zip("bcd", (b, c, d), strict=True):
        header[f"quatern_{name}"] = value
    for name, value in zip("xyz", (7, 8, 9), strict=True):
        header[f"qoffset_{name}"] = value
    turn = Rotation.from_quat([b, c, d, np.sqrt(1 - b * b - c * c - d * d)]).as_matrix()
    expected = turn @ np.diag([2, 3, -4 if handed < 0 else 4])
    assert np.abs(nifti_header.qform(header)[:3, :3] - expected).max() < 1e-6
    assert nifti_header.qform(header)[:3, 3].tolist() == [7, 8, 9]


def test_a_voxel_size_that_signals_is_no_accident(tmp_path: Path) -> None:
    """A NaN of the kind that every operation warns of, in a header whose sform says where voxels are."""
    raw = bytearray(save_nifti(tmp_path / "a.nii", letter_f()).read_bytes())
    for axis in range(3):
        start = 80 + 4 * axis
        raw[start : start + 4] = b"\x01\x00\x80\x7f"
    path = tmp_path / "signals.nii"
    path.write_bytes(bytes(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProsectWarning)
        outcome(path)
