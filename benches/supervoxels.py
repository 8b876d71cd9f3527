"""How well supervoxels of each encoder explain labelled structures, beside SLIC on raw intensity and Felzenszwalb.

`python benches/supervoxels.py --data DIR [--weights sam-vit-b=FILE ...] [--scans 3] [--segments 100 400]` prints
tables in Markdown. DIR holds the public sets that `pairs` names; what is absent is left out, and so are encoders
without weights here. `--memory` compares the plan with the measured peak instead, on made-up scans.

Dice is the best that a union of supervoxels reaches, of any number and of four at most; recall is the share of a
structure's border within 3 mm of one between supervoxels, beside the share of body voxels that are such a border, for
with enough borders any recall is reached. Means over the structures of a scan, then over scans.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TOLERANCE_MM = 3.0
FEW = 4
# Structures of fewer voxels than this say more about the grid than about supervoxels.
SMALLEST = 200


@dataclass(frozen=True)
class Example:
    """A scan, and the masks of its structures by label value."""

    data: str
    volume: Any
    labels: np.ndarray

    @property
    def structures(self) -> list[int]:
        counts = np.bincount(self.labels.ravel())
        return [int(n) for n in np.flatnonzero(counts >= SMALLEST) if n]


def pairs(folder: Path, scans: int) -> Iterator[tuple[str, Path, Path]]:
    """Yield the kind, the scan and its labels of every example."""
    for image in sorted((folder / "openkbp").glob("validation_*_ct.nii.gz"))[:scans]:
        yield "openkbp", image, image.with_name(image.name.replace("_ct", "_oars"))
    whole = folder / "totalsegmentator_refs"
    yield "torso CT", whole / "example_ct.nii.gz", whole / "example_seg_v1_104classes.nii.gz"
    for kind in ("CT", "MR_T1"):
        for image in sorted((folder / "sts_thigh").glob(f"*_{kind}_image.nii.gz"))[:scans]:
            yield f"thigh tumour {kind[:2]}", image, image.with_name(image.name.replace("image", "mask"))
    spine = folder / "tptbox_spine"
    yield "spine CT", spine / "sub-ct_label-22_ct.nii.gz", spine / "sub-ct_seg-subreg_label-22_msk.nii.gz"
    yield "spine MR", spine / "sub-mri_label-6_T2w.nii.gz", spine / "sub-mri_seg-subreg_label-6_msk.nii.gz"
    for image in sorted((folder / "msd_hippocampus" / "images").glob("*.nii.gz"))[:scans]:
        yield "hippocampus MR", image, folder / "msd_hippocampus" / "labels" / image.name


def examples(folder: Path, scans: int, kinds: list[str] | None = None) -> Iterator[Example]:
    """Yield the scans that are there."""
    import prosect

    for kind, image, labels in pairs(folder, scans):
        if image.exists() and labels.exists() and (kinds is None or kind in kinds):
            yield Example(kind, prosect.read(image), np.asarray(prosect.read_labels(labels).array))


def as_released(image: np.ndarray, volume: Any, segments: int) -> np.ndarray:
    """Return SLIC as the released code cuts: sigma of three voxels, compactness 0.01, then the largest dark piece gone.

    Args:
        image: What is cut (i j k), or (i j k c), on the scan's voxels.
        volume: The scan.
        segments: About how many.
    """
    from scipy import ndimage
    from skimage.segmentation import slic

    channels = -1 if image.ndim == 4 else None
    labels = slic(image, segments, compactness=0.01, sigma=3, convert2lab=False, channel_axis=channels)
    if volume.is_ct:
        dark, _ = ndimage.label(volume.array < -800)
        air = dark == np.argmax(np.bincount(dark.ravel())[1:]) + 1
        labels[ndimage.binary_erosion(ndimage.binary_dilation(air, iterations=3), iterations=3, border_value=1)] = 0
    return np.asarray(labels)


def raw_slic(volume: Any, segments: int) -> np.ndarray:
    """Return SLIC on intensity, cut as the released code cuts features."""

    low, high = (-1000, 1000) if volume.is_ct else np.percentile(volume.array, (0.5, 99.5))
    return as_released(np.clip((volume.array - low) / (high - low), 0, 1), volume, segments)


def features_as_released(volume: Any, segments: int) -> np.ndarray:
    """Return our encoder's features cut as the released code cuts those of Segment Anything."""
    import torch

    from prosect import supervoxels
    from prosect.supervoxels.working import Working

    encoder = supervoxels.load_encoder("features")
    working = Working.of(volume, volume.grid.voxel_count)
    features = torch.zeros(*working.shape, encoder.channels)
    encoder.add_to(features, working)
    back = working.case.order.inverse()
    stored = np.stack([back.apply(channel) for channel in np.moveaxis(features.numpy(), -1, 0)], axis=-1)
    return as_released(stored, volume, segments)


def cubes(volume: Any, segments: int) -> np.ndarray:
    """Return a plain division into about so many boxes: what no image at all achieves."""
    extent = np.asarray(volume.grid.shape) * volume.grid.spacing_mm
    side = (np.prod(extent) / segments) ** (1 / 3)
    parts = np.maximum(np.round(extent / side), 1).astype(int)
    index = [np.arange(n) * p // n for n, p in zip(volume.grid.shape, parts, strict=True)]
    i, j, k = np.meshgrid(*index, indexing="ij")
    return np.asarray(1 + (i * parts[1] + j) * parts[2] + k)


def felzenszwalb(volume: Any, segments: int) -> np.ndarray:
    """Return pieces of a graph cut as SegVol makes them, of whatever number; `segments` is not used.

    The scan is resized to 256 x 256 x 32 and smoothed by 0.8 voxels. Neighbours, in-plane diagonals included, are
    joined where they differ by less than the lower quartile of all differences that are not zero; then, from the
    smallest difference up, pieces of fewer than 1,000 voxels join a neighbour.
    """
    import torch
    from scipy import ndimage, sparse

    image = torch.from_numpy(np.ascontiguousarray(volume.array, dtype=np.float32))[None, None]
    resized = torch.nn.functional.interpolate(image, size=(256, 256, 32), mode="area")[0, 0].numpy()
    smooth = ndimage.gaussian_filter(resized, 0.8).astype(np.float64)
    number = np.arange(smooth.size).reshape(smooth.shape)
    edges, costs = [], []
    a, b = slice(1, None), slice(None, -1)
    every = slice(None)
    for one, other in (((every, a), (every, b)), ((a,), (b,)), ((a, a), (b, b)), ((a, b), (b, a)),
                       ((every, every, a), (every, every, b))):  # fmt: skip
        edges.append(np.stack([number[one].ravel(), number[other].ravel()]))
        costs.append(np.abs(smooth[one] - smooth[other]).ravel())
    pairs, cost = np.concatenate(edges, axis=1), np.concatenate(costs)
    near = cost < np.percentile(cost[cost != 0], 25)
    graph = sparse.coo_matrix((np.ones(near.sum()), pairs[:, near]), shape=(smooth.size, smooth.size))
    _, piece = sparse.csgraph.connected_components(graph, directed=False)
    piece = merged(piece, pairs, cost, 1000).reshape(smooth.shape)
    back = [
        np.minimum((np.arange(n) + 0.5) * m / n, m - 1).astype(int)
        for n, m in zip(volume.grid.shape, piece.shape, strict=True)
    ]
    return np.asarray(1 + piece[np.ix_(*back)])


def merged(piece: np.ndarray, pairs: np.ndarray, cost: np.ndarray, smallest: int) -> np.ndarray:
    """Return pieces after small ones have joined a neighbour, in the order of the differences between them."""
    size = np.bincount(piece).tolist()
    root = list(range(len(size)))

    def find(n: int) -> int:
        while root[n] != n:
            root[n] = root[root[n]]
            n = root[n]
        return n

    one, other = piece[pairs]
    crossing = np.flatnonzero(one != other)
    crossing = crossing[np.argsort(cost[crossing], kind="stable")]
    for p, q in zip(one[crossing].tolist(), other[crossing].tolist(), strict=True):
        first, second = find(p), find(q)
        if first != second and (size[first] < smallest or size[second] < smallest):
            root[second] = first
            size[first] += size[second]
    found = np.array([find(n) for n in range(len(root))])
    return np.asarray(np.unique(found, return_inverse=True)[1][piece])


def methods(weights: dict[str, Path], only: list[str] | None) -> dict[str, Callable[[Any, int], np.ndarray]]:
    """Return every way to cut a scan that can be run here, by name."""
    from prosect import supervoxels
    from prosect.errors import CheckpointError

    found: dict[str, Callable[[Any, int], np.ndarray]] = {}
    for name in supervoxels.ENCODERS:
        try:
            encoder = supervoxels.load_encoder(name, weights.get(name))
        except CheckpointError as error:
            print(f"{name}: left out ({error.code})", file=sys.stderr)
            continue
        found[name] = lambda volume, segments, encoder=encoder: supervoxels.generate(volume, encoder, segments).array
    found |= {
        "features, cut as released": features_as_released,
        "raw intensity, cut as released": raw_slic,
        "Felzenszwalb (SegVol)": felzenszwalb,
        "boxes": cubes,
    }
    return {name: cut for name, cut in found.items() if only is None or name in only}


def scored(example: Example, labels: np.ndarray, seconds: float) -> dict[str, float]:
    """Return the scores of one division of one scan."""
    from supervoxel_scores import achievable_dice, borders, boundary_recall

    dice, few, recall = [], [], []
    for structure in example.structures:
        mask = example.labels == structure
        dice.append(achievable_dice(labels, mask))
        few.append(achievable_dice(labels, mask, FEW))
        recall.append(boundary_recall(labels, mask, example.volume.grid.spacing_mm, TOLERANCE_MM))
    return {
        "pieces": len(np.unique(labels[labels > 0])),
        "dice": float(np.mean(dice)),
        "few": float(np.mean(few)),
        "recall": float(np.mean(recall)),
        "borders": float(borders(labels)[labels > 0].mean()),
        "seconds": seconds,
    }


def tables(rows: dict[tuple[str, int, str], list[dict[str, float]]]) -> str:
    """Return the means as Markdown: for each number of segments, a table per pair of scores."""
    out = []
    for segments in dict.fromkeys(key[1] for key in rows):
        chosen = {(data, name): scores for (data, asked, name), scores in rows.items() if asked == segments}
        kinds, names = (list(dict.fromkeys(key[n] for key in chosen)) for n in (0, 1))
        counts = [len(chosen[kind, names[0]]) for kind in kinds]
        for title, first, second, form in PAIRS:
            heads = [f"{kind} ({count})" for kind, count in zip(kinds, counts, strict=True)]
            out += [
                "",
                f"{segments} segments, {title}",
                "",
                f"| cut by | {' | '.join(heads)} |",
                "|---" * (len(kinds) + 1) + "|",
            ]
            for name in names:
                means = [{k: np.mean([s[k] for s in chosen[kind, name]]) for k in (first, second)} for kind in kinds]
                out.append(f"| {name} | {' | '.join(form.format(m[first], m[second]) for m in means)} |")
    return "\n".join(out)


PAIRS = (
    ("Dice (pieces)", "dice", "pieces", "{:.3f} ({:.0f})"),
    ("recall (border voxels)", "recall", "borders", "{:.2f} ({:.2f})"),
    ("Dice of four at most (seconds)", "few", "seconds", "{:.3f} ({:.1f})"),
)


MEMORY = {  # shape, spacing in mm
    "torso": ((512, 512, 300), (0.8, 0.8, 1.0)),
    "thick slices": ((512, 512, 41), (0.8, 0.8, 5.0)),
}


def child(name: str, encoder_name: str) -> None:
    """Cut one made-up scan and print plan and peak in bytes; Segment Anything has random weights and few slices."""
    from benches.automatic import Peak

    import prosect
    from prosect import supervoxels

    shape, spacing = MEMORY[name]
    encoder = supervoxels.load_encoder(encoder_name, device="cpu")
    small = prosect.Volume(np.zeros((16, 16, 16), np.float32), prosect.Grid((16, 16, 16), np.eye(4)), "CT")
    supervoxels.generate(small, encoder, 8)
    with Peak() as peak:
        ramp = np.linspace(0, 40, shape[0], dtype=np.float32)[:, None, None]
        array = 300 * np.sin(ramp + np.linspace(0, 30, shape[2], dtype=np.float32)) + np.zeros(shape, np.float32)
        array[:20] = -1000
        volume = prosect.Volume(array, prosect.Grid(shape, np.diag([*spacing, 1.0])), "CT")
        started = time.perf_counter()
        supervoxels.generate(volume, encoder)
        seconds = time.perf_counter() - started
    print(json.dumps([supervoxels.plan(volume, encoder).peak, peak.gib * 2**30, seconds]))


def memory(encoders: list[str]) -> None:
    """Print plan and measured peak of every made-up scan."""
    for name in MEMORY:
        for encoder in encoders:
            command = [sys.executable, __file__, "--child", name, "--only", encoder]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            plan, peak, seconds = json.loads(out.strip().splitlines()[-1])
            print(
                f"{name:<14}{encoder:<12} planned {plan / 2**30:6.3f} GiB, measured {peak / 2**30:6.3f}, "
                f"ratio {plan / peak:.2f}, {seconds:.0f} s",
                flush=True,
            )


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--weights", nargs="+", default=[], metavar="NAME=FILE")
    parser.add_argument("--scans", type=int, default=3, help="of each kind at the most")
    parser.add_argument("--segments", type=int, nargs="+", default=[100])
    parser.add_argument("--only", nargs="+", metavar="METHOD")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="of scans, as the table names them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    if args.child:
        child(args.child, args.only[0])
    elif args.memory:
        memory(args.only or ["intensity", "features"])
    elif args.data is None:
        parser.error("--data DIR says where the scans are")
    else:
        compare(args)


def compare(args: argparse.Namespace) -> None:
    """Cut every scan by every method and print the table."""
    weights = {name: Path(path) for name, path in (pair.split("=", 1) for pair in args.weights)}
    cuts = methods(weights, args.only)
    rows: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for example in examples(args.data, args.scans, args.kinds):
        for segments in args.segments:
            for name, cut in cuts.items():
                started = time.perf_counter()
                labels = np.asarray(cut(example.volume, segments))
                score = scored(example, labels, time.perf_counter() - started)
                rows.setdefault((example.data, segments, name), []).append(score)
                print(f"{example.data} {example.volume.source.name} {segments} {name}: {score}", file=sys.stderr)
    print(tables(rows))


if __name__ == "__main__":
    main()
