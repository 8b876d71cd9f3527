"""A person drawn from a generator, scanned on a grid: the volume and the truth."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np

from prosect import vocabulary
from prosect.errors import RecipeError
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.phantom.anatomy import Anatomy
from prosect.phantom.bending import random_bend
from prosect.phantom.body import FIELD_OF_VIEW as TORSO_VIEW
from prosect.phantom.body import body_anatomy, draw_person
from prosect.phantom.head_neck import FIELD_OF_VIEW as HEAD_NECK_VIEW
from prosect.phantom.head_neck import head_neck_anatomy
from prosect.phantom.lesions import KINDS as LESIONS
from prosect.phantom.lesions import plant_into
from prosect.phantom.protocol import REGIONS, Protocol, acquire, draw_protocol, label_values
from prosect.phantom.scanner import LOWEST_HU, covering_grid, render, scan_noise
from prosect.volume import Source, Volume

__all__ = ["KINDS", "case", "head_neck", "scan", "structures", "torso"]

Spacing = tuple[float, float, float]
Shape3 = tuple[int, int, int]
Kind = Literal["torso", "head-neck"]
KINDS: tuple[Kind, ...] = ("torso", "head-neck")


def torso(
    generator: np.random.Generator,
    spacing_mm: Spacing = (2.0, 2.0, 2.5),
    shape: Shape3 | None = None,
    *,
    grid: Grid | None = None,
    noise_hu: float = 12.0,
) -> tuple[Volume, LabelMap]:
    """Return a CT from the hips to the throat, and its labels in the `prosect` vocabulary.

    The person is drawn before the noise: generators of one seed give one anatomy, whatever the grid.

    Args:
        generator: Source of the person and of the noise.
        spacing_mm: Voxel size of a grid along R, A, S.
        shape: Its voxel counts about the middle of the field of view; the whole field by default.
        grid: Any other grid to sample on instead.
        noise_hu: Standard deviation of the noise.
    """
    anatomy = body_anatomy(generator)
    return scan(anatomy, grid or covering_grid(*TORSO_VIEW, spacing_mm, shape), generator, noise_hu, "torso phantom")


def head_neck(
    generator: np.random.Generator,
    spacing_mm: Spacing = (2.0, 2.0, 2.5),
    shape: Shape3 | None = None,
    *,
    grid: Grid | None = None,
    noise_hu: float = 10.0,
) -> tuple[Volume, LabelMap]:
    """Return a CT of head, neck and shoulders, and its labels; the arguments are those of `torso`."""
    anatomy = head_neck_anatomy(generator)
    view = covering_grid(*HEAD_NECK_VIEW, spacing_mm, shape)
    return scan(anatomy, grid or view, generator, noise_hu, "head and neck phantom")


def case(
    generator: np.random.Generator,
    kind: Kind = "torso",
    *,
    spacing_mm: Spacing | None = None,
    region: str | None = None,
    lesions: float = 0.3,
) -> tuple[Volume, LabelMap]:
    """Return one scan as a hospital might have made it, and its truth: everything about it is drawn.

    Person, posture, breath, contrast phase, field of view, slices, gantry tilt, tube voltage, kernel, noise, table and
    lesions differ from draw to draw; equal generators give equal scans. Labels are in the `prosect` vocabulary; what
    lies in the body without a name of its own is `body`, what lies outside has none.

    Args:
        generator: Source of everything, such as `numpy.random.default_rng(seed)`.
        kind: `torso` or `head-neck`.
        spacing_mm: Voxel size; drawn by default.
        region: Which part of the torso, one of `protocol.REGIONS`; drawn by default.
        lesions: Probability of each of up to three lesions.
    """
    g = generator
    if kind == "head-neck":
        anatomy = replace(head_neck_anatomy(g), bend=random_bend(g, 0.8))
        (x0, y0, z0), (x1, y1, z1) = HEAD_NECK_VIEW
        protocol = draw_protocol(g, (x0, y0, z0), (x1, y1, z1), spacing_mm)
        back = -112.0
    else:
        person = draw_person(g)
        anatomy = body_anatomy(g, person)
        protocol, back = torso_protocol(g, anatomy, person.fat_mm, region, spacing_mm)
    volume, labels = acquire(anatomy, protocol, g, f"{kind} phantom", back)
    with suppress(RecipeError):  # a scan may show no host
        for _ in range(int(g.binomial(3, lesions)) if kind == "torso" else 0):
            volume, labels = plant_into(volume, labels, g)
    return volume, labels


@functools.cache
def structures(kind: Kind) -> dict[str, int]:
    """Return the label value of every structure that a case of this kind can hold, by name."""
    if kind == "head-neck":
        return label_values(head_neck_anatomy(np.random.default_rng(0)))
    someone = replace(draw_person(np.random.default_rng(0)), absent=frozenset(), age=1.0)
    found: dict[str, int] = {}
    for female in (True, False):
        found |= label_values(body_anatomy(np.random.default_rng(0), replace(someone, female=female)))
    words = vocabulary.load("prosect")
    found |= {name: words[name].index for name in LESIONS}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def torso_protocol(
    generator: np.random.Generator, anatomy: Anatomy, fat_mm: float, region: str | None, spacing_mm: Spacing | None
) -> tuple[Protocol, float]:
    """Return the settings of a scan of one region of a torso, and where the back lies."""
    shares = np.array([share for *_, share in REGIONS.values()])
    name = region or list(REGIONS)[int(generator.choice(len(REGIONS), p=shares / shares.sum()))]
    low, high, _ = REGIONS[name]
    sx, sy, sz = anatomy.scale
    side, front, back = 178 * sx + fat_mm, 100 * sy + fat_mm, -142 * sy - 1.3 * fat_mm
    if anatomy.bend is None:
        shift = np.zeros(3)
    else:
        shift = anatomy.bend.shift_mm
    corner = (float(shift[0] - side), float(back - 28 + shift[1]), low * sz)
    other = (float(shift[0] + side), float(front + 26 + shift[1]), high * sz)
    return draw_protocol(generator, corner, other, spacing_mm), float(back + shift[1])


def scan(
    anatomy: Anatomy, grid: Grid, generator: np.random.Generator, noise_hu: float, name: str
) -> tuple[Volume, LabelMap]:
    """Return what a scanner makes of an anatomy on any grid with plain noise, and the truth."""
    hu, labels = render(anatomy, grid, label_values(anatomy))
    if noise_hu:
        hu += scan_noise(generator, grid, noise_hu)
    volume = Volume(np.maximum(np.rint(hu), LOWEST_HU), grid, "CT", Source(name=name, format="phantom"))
    return volume, LabelMap(labels, grid, vocabulary.load("prosect"), {"source": name})
