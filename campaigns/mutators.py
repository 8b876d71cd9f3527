"""Ways to damage a valid scan: bytes, header fields, header lines, and whole slices.

A mutator takes a generator and a sample and returns the damaged files.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from samples import Files, Sample, as_bytes, samples, zipped

Mutator = Callable[[np.random.Generator, Sample], Files]

EXTREMES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\n", b" ", b"0")
NUMBERS = ("0", "-1", "1", "2", "3", "4", "5", "7", "9", "-0.5", "1e30", "1e-30", "nan", "inf", "", "x", "1 2", "65536",
           "2147483648", "9999999999999999999", "0.75", "1,5", "(1,2)", "none", "../../etc/passwd", "True")  # fmt: skip
TAGS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "SamplesPerPixel", "RescaleSlope", "RescaleIntercept", "SeriesInstanceUID",
    "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Modality", "SliceThickness", "ImageType",
    "PhotometricInterpretation", "NumberOfFrames", "PixelData",
)  # fmt: skip


def damaged_bytes(rng: np.random.Generator, raw: bytes) -> bytes:
    """Return bytes with one to three small accidents: flips, runs, cuts, insertions, copies, zeroed blocks."""
    out = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        kind, here = rng.integers(9), int(rng.integers(len(out) + 1))
        length = int(2 ** rng.uniform(0, 6))
        if kind <= 2 and out:
            out[here % len(out)] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            out[here : here + length] = rng.bytes(length)
        elif kind == 4:
            out[here : here + length] = EXTREMES[rng.integers(len(EXTREMES))] * length
        elif kind == 5:
            del out[here:]
        elif kind == 6:
            del out[here : here + length]
        elif kind == 7:
            out[here:here] = out[here : here + length] or b"\x00"
        else:
            out += rng.bytes(length) if rng.random() < 0.5 else bytes(length)
    return bytes(out)


def any_bytes(rng: np.random.Generator, sample: Sample) -> Files:
    """Damage one file of a sample as it lies on the disk."""
    name = pick(rng, sorted(sample.files))
    return {**sample.files, name: damaged_bytes(rng, sample.files[name])}


def header_bytes(rng: np.random.Generator, sample: Sample) -> Files:
    """Damage the beginning of one file, where its header lies."""
    name = pick(rng, sorted(sample.files))
    raw = sample.files[name]
    return {**sample.files, name: damaged_bytes(rng, raw[:360]) + raw[360:]}


def crossed(rng: np.random.Generator, sample: Sample) -> Files:
    """Join the beginning of one file to the end of another of the same family."""
    name = pick(rng, sorted(sample.files))
    others = [other for other in samples() if other.family == sample.family]
    other = others[rng.integers(len(others))]
    tail = other.files[pick(rng, sorted(other.files))]
    raw = sample.files[name]
    cut = int(rng.integers(len(raw)))
    return {**sample.files, name: raw[:cut] + tail[min(cut, len(tail)) :]}


def nifti_fields(rng: np.random.Generator, sample: Sample) -> Files:
    """Set one to three header fields of a NIfTI file to extremes, inside its gzip stream if it has one."""
    raw = bytearray(inside(sample))
    kind = nib.Nifti2Header if raw[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else nib.Nifti1Header
    order = "<" if raw[1:3] != b"\x00\x00" or raw[3:4] == b"\x00" else ">"
    header = np.frombuffer(raw, kind.template_dtype.newbyteorder(order), count=1)
    for _ in range(rng.integers(1, 4)):
        field = header[pick(rng, list(header.dtype.names))].reshape(-1)
        set_extreme(rng, field)
    return packed(sample, bytes(raw))


def set_extreme(rng: np.random.Generator, field: np.ndarray) -> None:  # type: ignore[type-arg]
    """Overwrite one element of a header field."""
    place = int(rng.integers(field.size))
    with np.errstate(all="ignore"):
        if field.dtype.kind == "S":
            field[place] = rng.bytes(field.dtype.itemsize)
        elif field.dtype.kind == "f":
            choices = [0, -1, 1, np.nan, np.inf, -np.inf, 1e30, 1e-30, -field[place], field[place] * 2, 0.5]
            field[place] = choices[rng.integers(len(choices))]
        else:
            info = np.iinfo(field.dtype)
            near = [int(field[place]) + step for step in (-1, 1)]
            choices = [n for n in (0, 1, 2, 3, 4, 5, 16, 64, 256, info.min, info.max, *near)
                       if info.min <= n <= info.max]  # fmt: skip
            field[place] = choices[rng.integers(len(choices))]


def inside(sample: Sample) -> bytes:
    """Return the content of a sample of one file, unpacked where it is packed whole."""
    plain = next(other for other in samples() if other.name == sample.name.removesuffix(" gz"))
    return plain.files[plain.main]


def packed(sample: Sample, raw: bytes) -> Files:
    """Return a sample of one file with another content."""
    return {sample.main: sample.pack(raw) if sample.pack else raw}


def inside_bytes(rng: np.random.Generator, sample: Sample) -> Files:
    """Damage the content inside a gzip stream, which gets a right checksum."""
    return packed(sample, damaged_bytes(rng, inside(sample)))


def text_lines(rng: np.random.Generator, sample: Sample) -> Files:
    """Change lines of a text header: leave out, repeat, swap, or give other values."""
    raw = sample.files[sample.main]
    end = raw.find(b"\n\n") if sample.family == "nrrd" else raw.find(b"\n", raw.find(b"ElementDataFile"))
    end = len(raw) if end < 0 else end
    lines = raw[:end].decode("latin-1").split("\n")
    for _ in range(rng.integers(1, 3)):
        here, there, kind = (int(rng.integers(n)) for n in (len(lines), len(lines), 5))
        if kind == 0 and len(lines) > 1:
            del lines[here]
        elif kind == 1:
            lines.insert(there, lines[here])
        elif kind == 2:
            lines[here], lines[there] = lines[there], lines[here]
        else:
            lines[here] = other_value(rng, lines[here], lines[there])
    return {**sample.files, sample.main: "\n".join(lines).encode("latin-1") + raw[end:]}


def other_value(rng: np.random.Generator, line: str, other: str) -> str:
    """Return a header line with one word of its value replaced, or the value of another line."""
    mark = ": " if ": " in line else "="
    key, _, value = line.partition(mark)
    if rng.random() < 0.2:
        return key + mark + other.partition(mark)[2]
    words = value.split(" ")
    words[rng.integers(len(words))] = NUMBERS[rng.integers(len(NUMBERS))]
    return key + mark + " ".join(words)


def dicom_tags(rng: np.random.Generator, sample: Sample) -> Files:
    """Change, remove or exchange attributes of slices, at the top or in functional groups."""
    files = contents(sample)
    for _ in range(rng.integers(1, 4)):
        name = pick(rng, sorted(files))
        data = pydicom.dcmread(io.BytesIO(files[name]))
        other = pydicom.dcmread(io.BytesIO(files[pick(rng, sorted(files))]))
        change_tag(rng, pick_place(rng, data), other)
        try:
            files[name] = as_bytes(data)
        except (ValueError, TypeError, AttributeError, OverflowError, KeyError):
            continue  # pydicom does not write such a value
    return repacked(sample, files)


def pick_place(rng: np.random.Generator, data: Dataset) -> Dataset:
    """Return the data set itself, or one within its functional groups."""
    groups = data.get("PerFrameFunctionalGroupsSequence") or []
    if not groups or rng.random() < 0.3:
        return data
    group = groups[rng.integers(len(groups))]
    macros = [item for item in group if item.VR == "SQ" and item.value]
    return macros[rng.integers(len(macros))].value[0] if macros else group


def change_tag(rng: np.random.Generator, data: Dataset, other: Dataset) -> None:
    """Change one attribute."""
    tags = [tag for tag in TAGS if tag in data]
    if not tags:
        return
    tag, kind = pick(rng, tags), rng.integers(4)
    value = data[tag].value
    if kind == 0:
        del data[tag]
    elif kind == 1 and tag in other:
        data[tag].value = other[tag].value
    elif isinstance(value, bytes):
        data[tag].value = damaged_bytes(rng, value)
    elif kind == 2 and isinstance(value, pydicom.multival.MultiValue):
        parts = list(value)
        number = isinstance(value[0], int | float)
        parts[rng.integers(len(parts))] = -float(parts[0] or 0) if number else "LOCALIZER"
        with suppress(ValueError):  # pydicom writes no words into numbers
            data[tag].value = parts
    else:
        set_number(rng, data, tag)


def set_number(rng: np.random.Generator, data: Dataset, tag: str) -> None:
    """Give an attribute another number or word, as its type allows."""
    choices: list[object] = (
        [0, 1, 2, 3, 5, 8, 12, 65535] if data[tag].VR == "US" else ["0", "-1", "1", "2.5", "1e30", ""]
    )
    value = choices[rng.integers(len(choices))]
    multiple = data[tag].VM
    data[tag].value = [value] * multiple if multiple > 1 else value


def dicom_files(rng: np.random.Generator, sample: Sample) -> Files:
    """Leave out slices, repeat them, exchange their content, or add what is none."""
    files = contents(sample)
    for _ in range(rng.integers(1, 3)):
        kind, name, other = rng.integers(5), pick(rng, sorted(files)), pick(rng, sorted(files))
        if kind == 0 and len(files) > 1:
            del files[name]
        elif kind == 1:
            files[f"copy{len(files)}"] = files[name]
        elif kind == 2:
            files[name] = damaged_bytes(rng, files[other])
        elif kind == 3:
            files[name] = files[name][: int(rng.integers(len(files[name])))]
        else:
            files[f"note{len(files)}.txt"] = rng.bytes(40)
    return repacked(sample, files)


def contents(sample: Sample) -> Files:
    """Return the DICOM files of a sample, those within its archive if it is one."""
    if not sample.main.endswith(".zip"):
        return dict(sample.files)
    return dict(next(other for other in samples() if other.name == "DICOM series").files)


def repacked(sample: Sample, files: Files) -> Files:
    """Return files as the sample keeps them."""
    return {sample.main: zipped(files)} if sample.main.endswith(".zip") else files


def pick(rng: np.random.Generator, names: list[str]) -> str:
    """Return one of several names."""
    return names[rng.integers(len(names))]


MUTATORS: dict[str, tuple[Mutator, ...]] = {
    "nifti": (any_bytes, header_bytes, nifti_fields, nifti_fields, inside_bytes, crossed),
    "nrrd": (any_bytes, header_bytes, text_lines, text_lines, crossed),
    "metaimage": (any_bytes, header_bytes, text_lines, text_lines, crossed),
    "dicom": (any_bytes, header_bytes, dicom_tags, dicom_tags, dicom_files, crossed),
}
