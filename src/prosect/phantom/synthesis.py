"""Training images made from label maps alone, every time with other intensities.

Each label is given a random brightness and grain, whatever is unlabelled is divided into random tissues, and the result
is blurred, shaded, coarsened and made noisy at random. A network that has seen many of them cannot rely on how a
modality shows an organ, only on shape and contrast: the idea of SynthSeg (Billot et al., Medical Image Analysis 86,
2023). Two palettes: `any` knows no modality; `ct` draws Hounsfield units from the ranges of `tissues.CT_HU`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from prosect.labelmap import LabelMap
from prosect.phantom.smoothing import smooth
from prosect.phantom.tissues import CT_HU, tissues
from prosect.volume import Source, Volume

__all__ = ["Palette", "divide", "synthesize", "synthesize_volume"]

Palette = Literal["any", "ct"]

CT_WINDOW = (-1024.0, 1600.0)
# Means of a label that is no known tissue.
ANY_HU = (-100.0, 300.0)
# Tissues that unlabelled parts of a body are made of.
REST: tuple[str, ...] = ("fat", "muscle", "soft", "fat")
BLOCK = 1 << 16


@dataclass(frozen=True)
class Ranges:
    """How far the draws go.

    Attributes:
        bias: Standard deviation of the logarithm of the shading.
        blur_mm: Greatest blur.
        thickness_mm: Greatest slice thickness that is imitated.
        noise: Greatest noise, as a share of the range of intensities.
    """

    bias: float
    blur_mm: float
    thickness_mm: float
    noise: float


RANGES: dict[str, Ranges] = {"any": Ranges(0.35, 1.6, 6.0, 0.10), "ct": Ranges(0.0, 1.4, 5.0, 0.03)}


def synthesize(
    labels: NDArray[np.integer],
    generator: np.random.Generator,
    *,
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5),
    palette: Palette = "any",
    kinds: Mapping[int, str] | None = None,
    container: int | None = None,
) -> NDArray[np.float32]:
    """Return an image for labels: intensities from 0 to 1, or Hounsfield units with the palette `ct`.

    The same generator state gives the same image. 96 x 96 x 96 voxels take about a tenth of a second on one thread.

    Args:
        labels: Label values (i j k), 0 to 65535; 0 is outside the body where `container` is given, and otherwise
            everything unlabelled.
        generator: Source of everything.
        spacing_mm: Voxel size.
        palette: `any` or `ct`.
        kinds: Tissue of label values, one of `CT_HU`; labels of one tissue look nearly alike, as two ribs do. Without
            it each label has a look of its own.
        container: Label value of the body around the structures. It and, without it, 0 is divided into tissues.
    """
    g = generator
    codes, tissue = compact(labels, kinds or {}, container, g)
    mean, spread = palette_of(tissue, palette, g)
    image = mean[codes]
    image += spread[codes] * (0.8 * g.standard_normal(labels.shape, dtype=np.float32) + cloud(labels.shape, 7, g))
    limits = RANGES[palette]
    spacing = np.asarray(spacing_mm)
    image = smooth(image, (g.uniform(0.2, limits.blur_mm, 3) / spacing).tolist())
    low, high = (0.0, 1.0) if palette == "any" else CT_WINDOW
    if limits.bias:
        image *= np.exp(np.float32(limits.bias * g.random()) * cloud(labels.shape, 3, g))
    if g.random() < 0.5:
        image = coarsen(image, int(g.integers(3)), float(g.uniform(1.0, limits.thickness_mm)), spacing)
    strength = np.float32(limits.noise * (high - low) * g.random() ** 2)
    grain = smooth(g.standard_normal(labels.shape, dtype=np.float32), float(g.uniform(0, 0.7)))
    image += strength * grain / max(float(grain.std()), 1e-6)
    if palette == "ct":
        return np.clip(image, low, high, out=image)
    image = (image - image.min()) / max(float(np.ptp(image)), 1e-6)
    return np.asarray(image ** np.float32(np.exp(g.normal(0, 0.3))), dtype=np.float32)


def synthesize_volume(labels: LabelMap, generator: np.random.Generator, *, palette: Palette = "any") -> Volume:
    """Return a scan for a label map, on its grid; arguments as in `synthesize`, tissues from its vocabulary."""
    words = labels.vocabulary
    body = None
    if "body" in words:
        body = words["body"].index
    container = None
    if body in labels.present:
        container = body
    spacing, kinds = labels.grid.spacing_mm, tissues(words)
    image = synthesize(labels.array, generator, spacing_mm=spacing, palette=palette, kinds=kinds, container=container)
    modality = None
    if palette == "ct":
        modality = "CT"
    return Volume(image, labels.grid, modality, Source(name=f"synthesis ({palette})", format="phantom"))


def divide(
    labels: NDArray[np.integer], image: NDArray[np.float32], container: int = 0, count: int = 5
) -> NDArray[np.uint16]:
    """Return labels with one value divided by the intensities of a real scan, so that synthesis keeps what it shows.

    What a label map leaves out (fat, muscle, vessels, bowel) is most of an image. Divided once, it has its true shapes
    in every image made of it. The new values follow the greatest old one.

    Args:
        labels: Label values (i j k).
        image: The scan that they belong to.
        container: The value to divide.
        count: Into how many.
    """
    out = labels.astype(np.uint16)
    mask = labels == container
    calm = smooth(image, 0.7)
    inside = calm[mask]
    if not inside.size:
        return out
    cuts = centres_to_cuts(inside, count)
    top = int(labels.max())
    out[mask] = (top + 1 + np.searchsorted(cuts, inside)).astype(np.uint16)
    return out


def centres_to_cuts(values: NDArray[np.float32], count: int, rounds: int = 12) -> NDArray[np.float64]:
    """Return the borders between `count` groups of values, each nearest to its own mean (Lloyd's rounds)."""
    some = values[:: max(1, values.size // BLOCK)].astype(np.float64)
    centres = np.unique(np.quantile(some, (np.arange(count) + 0.5) / count))
    for _ in range(rounds):
        cuts = (centres[1:] + centres[:-1]) / 2
        group = np.searchsorted(cuts, some)
        sizes = np.bincount(group, minlength=len(centres))
        sums = np.bincount(group, weights=some, minlength=len(centres))
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
    return np.asarray((centres[1:] + centres[:-1]) / 2)


def compact(
    labels: NDArray[np.integer], kinds: Mapping[int, str], container: int | None, generator: np.random.Generator
) -> tuple[NDArray[np.intp], list[str]]:
    """Return a code (i j k) for every voxel and the tissue of each code; what is unlabelled is divided at random."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    rest = 0
    if container is not None:
        rest = container
    names = []
    for v in present:
        names.append("air" if v == 0 else kinds.get(int(v), f"label {v}"))
    place = np.zeros(int(present[-1]) + 1, dtype=np.intp)
    place[present] = np.arange(len(present))
    codes = place[labels]
    if rest in present:
        # Tissues of the rest meet where a smooth random field passes a threshold.
        field = cloud(labels.shape, 6, generator) + 0.5 * cloud(labels.shape, 14, generator)
        part = np.digitize(field, (-0.7, 0.1, 0.9)).astype(np.intp)
        keep = generator.random() < 0.15 and container is None  # now and then all of it is plain background
        if not keep:
            codes = np.where(labels == rest, len(names) + part, codes)
            if container is not None:
                names += list(REST)
            else:
                names += ["air", "fat", "muscle", "soft"]
    return codes, names


def palette_of(
    names: list[str], palette: Palette, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of every code: alike within a tissue, up to a small difference."""
    g = generator
    is_ct = palette == "ct"
    means: dict[str, float] = {}
    spreads: dict[str, float] = {}
    for name in dict.fromkeys(names):
        if is_ct:
            low, high = CT_HU.get(name, ANY_HU)
        else:
            low, high = (0.0, 1.0)
        means[name] = float(g.uniform(low, high))
        spreads[name] = float(g.uniform(4, 26) if is_ct else g.uniform(0.01, 0.09))
    jitter = 0.015
    if is_ct:
        jitter = 6.0
    mean = np.array([means[name] + g.normal(0, jitter) for name in names], dtype=np.float32)
    if not is_ct and g.random() < 0.5:
        mean[np.asarray(names) == "air"] *= np.float32(0.1)  # most modalities show no air
    spread = np.array([spreads[name] * g.uniform(0.7, 1.3) for name in names], dtype=np.float32)
    return mean, spread


def cloud(shape: tuple[int, ...], nodes: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return a smooth random field (i j k) of about unit variance, from values on `nodes` nodes along each axis."""
    coarse = torch.from_numpy(generator.standard_normal((1, 1, nodes, nodes, nodes), dtype=np.float32))
    fine = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)
    return np.asarray(fine[0, 0].numpy() * np.float32(1.8))


def coarsen(
    image: NDArray[np.float32], axis: int, thickness_mm: float, spacing: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the image as thick slices along one axis would show it."""
    factor = thickness_mm / spacing[axis]
    if factor <= 1.2:
        return image
    sigma = [0.0, 0.0, 0.0]
    sigma[axis] = 0.42 * factor
    soft = torch.from_numpy(smooth(image, sigma))[None, None]
    size = list(image.shape)
    size[axis] = max(2, round(size[axis] / factor))
    thick = F.interpolate(soft, size=size, mode="trilinear", align_corners=True)
    return np.asarray(F.interpolate(thick, size=image.shape, mode="trilinear", align_corners=True)[0, 0].numpy())
