"""NRRD and MetaImage: the same world as in other libraries, damage and guesses refused."""

from __future__ import annotations

import bz2
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from prosect.errors import FormatError, GeometryError, ProsectWarning
from prosect.geometry import Grid
from prosect.io import read, read_labels, write
from prosect.volume import Volume
from worlds.dicom import LPS
from worlds.files import BRIGHT, SHAPE, bright_world, gzipped, label_layers, label_map, letter_f, oblique, outcome
from worlds.orders import ORDERS
from worlds.refusals import refused_file

GRID = Grid(SHAPE, oblique())
SCAN = letter_f()
HEADER = """NRRD0004
# a comment
type: short
dimension: 3
space: left-posterior-superior
sizes: 7 9 11
space directions: (0.7,0,0) (0,0.9,0) (0.1,0,2.5)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (1,2,3)

"""
MHA = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 0 1 0 -1 0 0 0 0 1
Offset = 1 2 3
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 0.7 0.9 2.5
DimSize = 7 9 11
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
VOXELS = SCAN.astype("<i2").tobytes(order="F")


def itk_image(grid: Grid, scan: np.ndarray) -> SimpleITK.Image:
    """Return the same scan as an ITK image."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(scan.T))
    lps = LPS @ grid.affine
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((lps[:3, :3] / grid.spacing_mm).ravel())
    image.SetOrigin(lps[:3, 3])
    return image


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("compressed", [False, True])
def test_forty_eight_orders_written_by_itk_lie_in_the_same_world(tmp_path: Path, name: str, compressed: bool) -> None:
    truth = bright_world(SCAN, GRID.affine)
    for order in ORDERS:
        grid, scan = GRID.reorder(order), order.apply(SCAN)
        SimpleITK.WriteImage(itk_image(grid, scan), str(tmp_path / name), compressed)
        volume = read(tmp_path / name)
        assert np.array_equal(volume.array, scan)
        assert volume.grid.distance_to(grid) < 1e-6
        assert np.abs(bright_world(volume.array, volume.grid.affine) - truth).max() < 1e-6


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_what_we_write_lies_where_other_libraries_find_it(tmp_path: Path, name: str) -> None:
    truth = bright_world(SCAN, GRID.affine)
    path = write(Volume(SCAN.astype(np.float32), GRID), tmp_path / name)
    itk = SimpleITK.ReadImage(str(path))
    assert itk[BRIGHT] == 1234
    assert np.abs(LPS[:3, :3] @ itk.TransformIndexToPhysicalPoint(BRIGHT) - truth).max() < 1e-6
    assert read(path).grid.distance_to(GRID) < 1e-6
    assert np.array_equal(read(path).array, SCAN)
    assert read(path).source.notes == ()
    if name.endswith("nrrd"):
        data, header = nrrd.read(str(path))
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
        assert np.abs(bright_world(data, LPS @ affine) - truth).max() < 1e-6


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS", "right-anterior-superior", "RAS", "LAS",
                                   "left-anterior-superior"])  # fmt: skip
def test_each_anatomical_space_is_turned_into_ras(tmp_path: Path, space: str) -> None:
    signs = {"l": (-1, -1, 1), "r": (1, 1, 1)}[space[0].lower()]
    signs = (-1, 1, 1) if space in ("LAS", "left-anterior-superior") else signs
    (tmp_path / "a.nrrd").write_bytes(HEADER.replace("left-posterior-superior", space).encode() + VOXELS)
    grid = read(tmp_path / "a.nrrd").grid
    stored = np.array([[0.7, 0, 0.1, 1], [0, 0.9, 0, 2], [0, 0, 2.5, 3], [0, 0, 0, 1]])
    assert np.array_equal(grid.affine, np.diag([*signs, 1]) @ stored)


@pytest.mark.parametrize("missing", ["space: ", "space directions: ", "space origin: "])
def test_nrrd_without_a_place_in_the_patient_is_refused(tmp_path: Path, missing: str) -> None:
    lines = [line for line in HEADER.split("\n") if not line.startswith(missing)]
    (tmp_path / "a.nrrd").write_bytes("\n".join(lines).encode() + VOXELS)
    refused_file(tmp_path / "a.nrrd", "GEOMETRY_INVALID", GeometryError)


@pytest.mark.parametrize("missing", ["TransformMatrix", "Offset", "ElementSpacing"])
def test_metaimage_without_a_place_in_the_patient_is_refused(tmp_path: Path, missing: str) -> None:
    lines = [line for line in MHA.split("\n") if not line.startswith(missing)]
    (tmp_path / "a.mha").write_bytes("\n".join(lines).encode() + VOXELS)
    refused_file(tmp_path / "a.mha", "GEOMETRY_INVALID", GeometryError)


@pytest.mark.parametrize(
    ("found", "changed", "code"),
    [
        ("NRRD0004\n", "NRRD0084\n", "INPUT_HEADER_INVALID"),
        ("NRRD0004\n", "NRRD0004 and more\n", "INPUT_HEADER_INVALID"),
        ("type: short", "type: block", "INPUT_HEADER_INVALID"),
        ("endian: little\n", "", "INPUT_HEADER_INVALID"),
        ("encoding: raw", "encoding: hex", "INPUT_HEADER_INVALID"),
        ("encoding: raw", "encoding: raw\nencoding: raw", "INPUT_HEADER_INVALID"),
        ("encoding: raw", "encoding: raw\nline skip: 9999", "INPUT_HEADER_INVALID"),
        ("encoding: raw", "encoding: raw\nbyte skip: 2", "INPUT_TRUNCATED"),
        ("sizes: 7 9 11", "sizes: 7 9 x", "INPUT_HEADER_INVALID"),
        ("sizes: 7 9 11", "sizes: 7 9 0", "INPUT_HEADER_INVALID"),
        ("sizes: 7 9 11", "sizes: 7 9 -11", "INPUT_HEADER_INVALID"),
        ("sizes: 7 9 11", "sizes: 7 9 9999", "INPUT_HEADER_INVALID"),
        ("sizes: 7 9 11", "sizes: 8000 8000 8000", "INPUT_TRUNCATED"),
        ("sizes: 7 9 11", "sizes: 7 9 12", "INPUT_TRUNCATED"),
        ("sizes: 7 9 11", "sizes: 7 9 10", "INPUT_HEADER_INVALID"),
        ("dimension: 3", "dimension: 4", "INPUT_HEADER_INVALID"),
        ("(0.7,0,0)", "(0,0,0)", "GEOMETRY_INVALID"),
        ("(0.7,0,0)", "(nan,0,0)", "GEOMETRY_INVALID"),
        ("(0.7,0,0)", "(0.7,0)", "GEOMETRY_INVALID"),
        ("(0.7,0,0)", "none", "GEOMETRY_INVALID"),
        ("space origin: (", "space origin: ", "GEOMETRY_INVALID"),
        ("encoding: raw", "encoding: raw\nkinds: domain dgmain domain", "INPUT_HEADER_INVALID"),
        ("space: left-posterior-superior", "space: scanner-xyz", "GEOMETRY_INVALID"),
        ("encoding: raw", 'encoding: raw\nspace units: "mm" "cm" "mm"', "GEOMETRY_INVALID"),
    ],
)
def test_contradictory_nrrd_headers_are_refused(tmp_path: Path, found: str, changed: str, code: str) -> None:
    assert found in HEADER
    (tmp_path / "a.nrrd").write_bytes(HEADER.replace(found, changed).encode() + VOXELS)
    refused_file(tmp_path / "a.nrrd", code, GeometryError if code.startswith("GEOMETRY") else FormatError)


@pytest.mark.parametrize(
    ("found", "changed", "code"),
    [
        ("NDims = 3", "NDims = 2", "INPUT_HEADER_INVALID"),
        ("DimSize = 7 9 11", "DimSize = 7 9 0", "INPUT_HEADER_INVALID"),
        ("DimSize = 7 9 11", "DimSize = 7 9 nan", "INPUT_HEADER_INVALID"),
        ("DimSize = 7 9 11", "DimSize = 7 9 12", "INPUT_TRUNCATED"),
        ("DimSize = 7 9 11", "DimSize = 7 9 10", "INPUT_HEADER_INVALID"),
        ("DimSize = 7 9 11", "DimSize = 8000 8000 8000", "INPUT_TRUNCATED"),
        ("MET_SHORT", "MET_STRING", "INPUT_HEADER_INVALID"),
        ("BinaryData = True", "BinaryData = False", "INPUT_HEADER_INVALID"),
        ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3", "INPUT_NOT_SCALAR"),
        ("NDims = 3", "NDims = 3\nNDims = 3", "INPUT_HEADER_INVALID"),
        ("NDims = 3\n", "NDims = 2\n", "INPUT_HEADER_INVALID"),
        ("0 1 0 -1 0 0 0 0 1", "0 1 0 0 1 0 0 0 1", "GEOMETRY_INVALID"),
        ("ElementDataFile = LOCAL\n", "", "INPUT_HEADER_INVALID"),
    ],
)
def test_contradictory_metaimage_headers_are_refused(tmp_path: Path, found: str, changed: str, code: str) -> None:
    assert found in MHA
    (tmp_path / "a.mha").write_bytes(MHA.replace(found, changed).encode() + VOXELS)
    refused_file(tmp_path / "a.mha", code, GeometryError if code.startswith("GEOMETRY") else FormatError)


@pytest.mark.parametrize("said", ["7 196", "0", "x"])
def test_a_metaimage_of_another_compressed_size_than_it_declares_is_refused(tmp_path: Path, said: str) -> None:
    packed = zlib.compress(VOXELS)
    fields = "CompressedDataSize = {}\nElementDataFile"
    for size, code in ((str(len(packed)), None), (said, "INPUT_HEADER_INVALID")):
        header = MHA.replace("CompressedData = False", "CompressedData = True").replace(
            "ElementDataFile", fields.format(size)
        )
        (tmp_path / "a.mha").write_bytes(header.encode() + packed)
        read(tmp_path / "a.mha") if code is None else refused_file(tmp_path / "a.mha", code)


@pytest.mark.parametrize("encoding", ["gzip", "bzip2"])
def test_compressed_nrrd_is_verified_to_the_last_bit(tmp_path: Path, encoding: str) -> None:
    data = gzipped(VOXELS) if encoding == "gzip" else bz2.compress(VOXELS)
    header = HEADER.replace("encoding: raw", f"encoding: {encoding}").encode()
    path = tmp_path / "a.nrrd"
    path.write_bytes(header + data)
    assert np.array_equal(read(path).array, SCAN)
    for count in (0, 1, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(header + data[:count])
        refused_file(path, "INPUT_TRUNCATED")
    noticed = 0
    for bit in np.random.default_rng(5).choice(8 * (len(data) - 10), 60, replace=False):
        damaged = bytearray(data)
        damaged[10 + bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(header + damaged)
        try:
            assert np.array_equal(read(path).array, SCAN)  # a padding bit of the stream carries nothing
        except FormatError:
            noticed += 1
    assert noticed >= 58
    longer = VOXELS + bytes(2 * 9 * 7)  # a whole slice
    path.write_bytes(header + (gzipped(longer) if encoding == "gzip" else bz2.compress(longer)))
    refused_file(path, "INPUT_HEADER_INVALID")


def test_a_bzip2_bomb_is_cut_off_at_the_declared_size(tmp_path: Path) -> None:
    header = HEADER.replace("encoding: raw", "encoding: bzip2").encode()
    (tmp_path / "a.nrrd").write_bytes(header + bz2.compress(bytes(40_000_000)))
    refused_file(tmp_path / "a.nrrd", "INPUT_HEADER_INVALID")
    big = header.replace(b"sizes: 7 9 11", b"sizes: 200 200 200")
    (tmp_path / "b.nrrd").write_bytes(big + bz2.compress(bytes(16_000_000)))
    assert read(tmp_path / "b.nrrd").array.shape == (200, 200, 200)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.95, 0.999])
def test_a_cut_metaimage_that_itk_calls_a_success_is_refused(tmp_path: Path, keep: float) -> None:
    for compress in (zlib.compress, gzipped, None):
        data = compress(VOXELS) if compress else VOXELS
        header = MHA.replace("CompressedData = False", f"CompressedData = {compress is not None}")
        (tmp_path / "a.mha").write_bytes(header.encode() + data)
        assert np.array_equal(read(tmp_path / "a.mha").array, SCAN)
        (tmp_path / "a.mha").write_bytes(header.encode() + data[: int(keep * len(data))])
        refused_file(tmp_path / "a.mha", "INPUT_TRUNCATED")


def detached(tmp_path: Path, name: str, data_file: str) -> Path:
    """Write a header that keeps its voxels in another file."""
    if name.endswith("nhdr"):
        text = HEADER.rstrip("\n") + f"\ndata file: {data_file}\n"
    else:
        text = MHA.replace("LOCAL", data_file)
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_data_beside_the_header_is_read_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan").mkdir()
    folder = tmp_path / "scan"
    (folder / "a.raw").write_bytes(VOXELS)
    (tmp_path / "secret.raw").write_bytes(VOXELS)
    assert np.array_equal(read(detached(folder, name, "a.raw")).array, SCAN)
    hashed = read(folder / name).source.sha256
    (folder / "a.raw").write_bytes(VOXELS[:-2] + b"\x07\x00")
    assert read(folder / name).source.sha256 != hashed
    elsewhere = ("../secret.raw", str(tmp_path / "secret.raw"), "/etc/passwd", "sub/../../secret.raw", "..")
    for place in (*elsewhere, "..\\a.raw", "C:\\a.raw", "C:a.raw", "\\\\server\\a.raw"):
        assert "outside its folder" in refused_file(detached(folder, name, place), "INPUT_DETACHED")
    for place in ("LIST", "LIST 2\nb.raw\nc.raw", "a%d.raw 1 2 1"):
        assert "in several files" in refused_file(detached(folder, name, place), "INPUT_DETACHED")
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    refused_file(detached(folder, name, "link.raw"), "INPUT_DETACHED")
    (folder / "a.raw").write_bytes(VOXELS[:-1])
    refused_file(detached(folder, name, "a.raw"), "INPUT_TRUNCATED")


@pytest.mark.parametrize("place", ["./a.raw", ".\\a.raw", "sub/a.raw", "sub\\a.raw", "./sub//a.raw"])
@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_data_may_lie_in_a_folder_below_the_header(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "scan" / "sub").mkdir(parents=True)
    (tmp_path / "scan" / "a.raw").write_bytes(VOXELS)
    (tmp_path / "scan" / "sub" / "a.raw").write_bytes(VOXELS)
    assert np.array_equal(read(detached(tmp_path / "scan", name, place)).array, SCAN)
    (tmp_path / "secret.raw").write_bytes(VOXELS)
    (tmp_path / "scan" / "sub" / "link.raw").symlink_to(tmp_path / "secret.raw")
    refused_file(detached(tmp_path / "scan", name, "sub/link.raw"), "INPUT_DETACHED")


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"b\.raw") as caught:
        read(detached(tmp_path, "a.nhdr", "b.raw"))
    assert caught.value.code == "INPUT_NOT_FOUND"


def test_colour_and_several_volumes_are_told_apart(tmp_path: Path) -> None:
    header = HEADER.replace("dimension: 3", "dimension: 4").replace("sizes: 7", "sizes: 3 7")
    header = header.replace("space directions: ", "space directions: none ").replace("kinds: ", "kinds: KIND ")
    three = np.stack([SCAN, SCAN + 1, SCAN + 2]).astype("<i2").tobytes(order="F")
    (tmp_path / "a.nrrd").write_bytes(header.replace("KIND", "RGB-color").encode() + three)
    refused_file(tmp_path / "a.nrrd", "INPUT_NOT_SCALAR")
    (tmp_path / "a.nrrd").write_bytes(header.replace("KIND", "list").encode() + three)
    refused_file(tmp_path / "a.nrrd", "INPUT_SEVERAL_VOLUMES")
    assert np.array_equal(read(tmp_path / "a.nrrd", volume=1).array, SCAN + 1)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_label_maps_round_trip_with_names_and_repeat_byte_for_byte(tmp_path: Path, name: str) -> None:
    for high in (False, True):
        labels = label_map(GRID, high)
        path = write(labels, tmp_path / name)
        first = path.read_bytes()
        assert write(labels, tmp_path / f"b{name}").read_bytes() == first
        back = read_labels(path)
        assert np.array_equal(back.array, labels.array)
        assert back.grid.distance_to(GRID) < 1e-6
        assert back.names == {index: labels.vocabulary[index].name for index in labels.present}
        itk = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(itk).T, labels.array)
        assert itk.GetMetaData("Segment0_Name") == "liver"


def test_slicer_keys_and_geometry_lines_are_repeated_from_an_nrrd_source(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(HEADER.replace("left-posterior-superior", "RAS").encode() + VOXELS)
    volume = read(tmp_path / "a.nrrd")
    path = write(label_map(volume.grid), tmp_path / "b.nrrd", like=volume)
    text = path.read_bytes().split(b"\n\n")[0].decode()
    for line in ("space: RAS", "space directions: (0.7,0,0) (0,0.9,0) (0.1,0,2.5)", "space origin: (1,2,3)",
                 "Segment1_LabelValue:=5", "Segment1_Layer:=0",
                 "Segment0_Color:=0.866667 0.509804 0.396078"):  # fmt: skip
        assert line in text.split("\n"), line
    assert read_labels(path).grid == volume.grid


def test_layers_round_trip_through_slicer_layers(tmp_path: Path) -> None:
    layers = label_layers(GRID)
    path = write(layers, tmp_path / "a.seg.nrrd")
    data, header = nrrd.read(str(path))
    assert data.shape == (2, *SHAPE)
    assert np.array_equal(data, layers.masks)
    assert (header["Segment0_Layer"], header["Segment1_Layer"]) == ("0", "1")
    back = read_labels(path)
    assert back.layers == (300, 3)
    assert back.names == {300: "high value", 3: "spleen"}
    assert np.array_equal(back.array, layers.masks)


def overlapping_segments(path: Path, values: Sequence[int]) -> NDArray[np.uint8]:
    """Write liver and spleen in one layer and a tumour inside the liver in another, as Slicer does."""
    stored = np.zeros((2, *SHAPE), dtype=np.uint8)
    stored[0, 1:3], stored[0, 4], stored[1, 2, 2, 2] = values[0], values[1], values[2]
    lps = LPS @ GRID.affine
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": [[np.nan] * 3, *lps[:3, :3].T],
        "space origin": lps[:3, 3],
        "kinds": ["list", "domain", "domain", "domain"],
    }
    for n, (name, layer) in enumerate((("liver", 0), ("spleen", 0), ("my tumour", 1))):
        header |= {f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(values[n]), f"Segment{n}_Layer": str(layer)}
    nrrd.write(str(path), stored, header)
    return stored


@pytest.mark.parametrize(("values", "labels"), [((1, 2, 1), (1, 2, 3)), ((4, 2, 9), (4, 2, 9))])
def test_layers_of_several_segments_are_read_segment_by_segment_with_their_own_names(
    values: tuple[int, ...], labels: tuple[int, ...], tmp_path: Path
) -> None:
    stored = overlapping_segments(tmp_path / "a.seg.nrrd", values)
    back = read_labels(tmp_path / "a.seg.nrrd")
    assert back.layers == labels
    assert back.names == dict(zip(labels, ("liver", "spleen", "my tumour"), strict=True))
    for mask, layer, value in zip(back.array, (0, 0, 1), values, strict=True):
        assert np.array_equal(mask, stored[layer] == value)
    assert read_labels(tmp_path / "a.seg.nrrd", volume=0).names == {values[0]: "liver", values[1]: "spleen"}
    assert read_labels(tmp_path / "a.seg.nrrd", volume=1).names == {values[2]: "my tumour"}


def test_voxels_of_layers_that_no_segment_names_are_counted(tmp_path: Path) -> None:
    stored = overlapping_segments(tmp_path / "a.seg.nrrd", (1, 2, 1))
    stored[1, 4, :2, 0] = 7
    header = nrrd.read_header(str(tmp_path / "a.seg.nrrd"))
    nrrd.write(str(tmp_path / "b.seg.nrrd"), stored, header)
    with pytest.warns(ProsectWarning, match="2 voxels have values that no segment"):
        assert read_labels(tmp_path / "b.seg.nrrd").layers == (1, 2, 3)


def test_two_segments_of_one_value_in_one_layer_are_told(tmp_path: Path) -> None:
    overlapping_segments(tmp_path / "a.seg.nrrd", (1, 1, 1))
    with pytest.warns(ProsectWarning, match="'liver', 'spleen' have one value in one layer"):
        read_labels(tmp_path / "a.seg.nrrd")


def test_labels_written_by_pynrrd_without_names_are_read(tmp_path: Path) -> None:
    labels = label_map(GRID).array
    lps = LPS @ GRID.affine
    header = OrderedDict({"space": "left-posterior-superior", "space directions": lps[:3, :3].T,
                          "space origin": lps[:3, 3], "encoding": "bzip2"})  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nrrd.write(str(tmp_path / "a.nrrd"), labels, header)
    back = read_labels(tmp_path / "a.nrrd")
    assert np.array_equal(back.array, labels)
    assert back.names == {}
    assert back.grid.distance_to(GRID) < 1e-6


def test_metaimage_refuses_to_hold_what_its_readers_cannot_place(tmp_path: Path) -> None:
    sheared = oblique()
    sheared[:3, 2] += 0.4 * sheared[:3, 1]
    for thing in (label_map(Grid(SHAPE, sheared)), label_layers(GRID)):
        with pytest.raises(FormatError) as caught:
            write(thing, tmp_path / "a.mha")
        assert caught.value.code == "OUTPUT_UNSUPPORTED"
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("start", [HEADER, MHA])
def test_damaged_text_headers_are_read_or_refused_but_never_an_accident(tmp_path: Path, start: str) -> None:
    rng = np.random.default_rng(11)
    path, read_count = tmp_path / "a.bin", 0
    for _ in range(300):
        raw = bytearray(start.encode() + VOXELS)
        for _ in range(rng.integers(1, 4)):
            raw[rng.integers(8, len(start))] = rng.integers(0, 256)
        path.write_bytes(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProsectWarning)
            read_count += isinstance(outcome(path), Volume)
    assert 0 < read_count < 300
