"""The trunk: what is named lies where, and measures what, it does in people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prosect.labelmap import LabelMap
from prosect.measure import Measurement, measure
from prosect.phantom import people, scanner
from prosect.phantom.anatomy import Anatomy, Part
from prosect.phantom.bending import random_bend
from prosect.phantom.body import FIELD_OF_VIEW, body_anatomy, draw_person
from prosect.phantom.body.contrast import TABLE, Enhancement
from prosect.phantom.grain import random_grain
from prosect.phantom.organic import Blend, Bulk, Grown, Rough, Slab, bent_tube, curve, fan
from prosect.phantom.scanner import covering_grid
from prosect.phantom.shapes import Capsule
from prosect.volume import Volume

SEEDS = (0, 3)
# Least and greatest volume in mL over healthy and less healthy adults, coarse voxels included.
VOLUMES = {
    "liver": (800, 2500), "spleen": (60, 480), "pancreas": (20, 160), "heart": (300, 1100), "aorta": (110, 520),
    "vertebrae L3": (35, 100), "vertebrae T8": (15, 50), "sacrum": (110, 340), "left hip": (230, 650),
    "right hip": (230, 650), "sternum": (25, 120), "left rib 6": (9, 50), "right iliopsoas": (150, 800),
    "left autochthon": (350, 1400), "left gluteus medius": (130, 650), "colon": (300, 2500), "small bowel": (200, 1800),
    "bladder": (20, 800), "trachea": (15, 100), "spinal cord": (10, 50),
}  # fmt: skip
# Least and greatest mean attenuation over all contrast phases.
HU = {
    "liver": (-10, 160), "spleen": (25, 180), "aorta": (25, 420), "heart": (25, 280), "vertebrae L3": (80, 420),
    "left rib 6": (90, 420), "left hip": (80, 480), "left autochthon": (-40, 75), "left gluteus maximus": (-50, 75),
    "trachea": (-950, -300), "left lung upper lobe": (-930, -650), "right lung lower lobe": (-930, -620),
    "body": (-120, 40), "spinal cord": (10, 70), "bladder": (-10, 260),
}  # fmt: skip


@pytest.fixture(scope="module", params=SEEDS)
def drawn(request) -> tuple[Volume, LabelMap, dict[str, Measurement]]:
    generator = np.random.default_rng(request.param)
    person = draw_person(generator)
    grid = covering_grid(*FIELD_OF_VIEW, (5.5, 5.5, 5.5), None)
    volume, labels = people.scan(body_anatomy(generator, person), grid, generator, 8.0, "test")
    return volume, labels, {m.name: m for m in measure(labels, volume)}


def test_volumes_lie_in_the_range_of_people(drawn) -> None:
    found = drawn[2]
    for name, (least, most) in VOLUMES.items():
        assert least <= found[name].volume_ml <= most, name
    lungs = sum(m.volume_ml for name, m in found.items() if "lobe" in name)
    assert 2200 < lungs < 7500


def test_labels_and_image_agree(drawn) -> None:
    found = drawn[2]
    for name, (low, high) in HU.items():
        assert low <= found[name].mean_hu <= high, name


def test_left_is_left_above_is_above_and_behind_is_behind(drawn) -> None:
    found = drawn[2]
    middle = {name: m.centroid_ras for name, m in found.items()}
    for name, (x, _, _) in middle.items():
        if name.startswith("left ") and not name.endswith(("brachiocephalic vein", "carotid artery")):
            assert x < 0, name
        if name.startswith("right "):
            assert x > -5, name
    assert middle["liver"][0] > 15
    assert middle["spleen"][0] < -50
    up = [f"vertebrae L{n}" for n in range(5, 0, -1)] + [f"vertebrae T{n}" for n in range(12, 0, -1)]
    heights = [middle[name][2] for name in ("sacrum", *up)]
    assert heights == sorted(heights)
    order = ("bladder", "small bowel", "pancreas", "heart")
    assert [middle[n][2] for n in order] == sorted(middle[n][2] for n in order)
    assert middle["spinal cord"][1] < middle["aorta"][1] < middle["sternum"][1]
    for n in range(1, 12):
        assert middle[f"left rib {n}"][2] > middle[f"left rib {n + 1}"][2]


def test_outside_the_body_is_air_without_a_name(drawn) -> None:
    volume, labels, _ = drawn
    outside = labels.array == 0
    assert (volume.array[outside] < -400).mean() > 0.99
    hollow = {n for n in people.structures("torso") if any(w in n for w in ("lung", "trachea", "colon", "bowel"))}
    hollow |= {"stomach", "duodenum", "esophagus", "body"}
    solid = ~outside & ~np.isin(labels.array, [labels.vocabulary[name].index for name in hollow])
    assert (volume.array[solid] > -350).mean() > 0.985


def test_every_organ_is_one_piece_apart_from_the_others(drawn) -> None:
    found = drawn[2]
    organs = ("liver", "spleen", "heart", "bladder", "pancreas", "left lung upper lobe", "right lung lower lobe")
    middles = np.array([found[name].centroid_ras for name in organs])
    apart = np.linalg.norm(middles[:, None] - middles[None], axis=2) + 1e3 * np.eye(len(organs))
    assert apart.min() > 15


def test_blood_brightens_in_the_order_of_the_phases() -> None:
    arterial, portal = Enhancement(1.0, 1.0, 0.0), Enhancement(2.0, 1.0, 0.0)
    assert arterial.hu("artery") > portal.hu("artery") > Enhancement(0.0, 1.0, 0.0).hu("artery")
    assert portal.hu("liver") > arterial.hu("liver")
    assert arterial.hu("kidney") - arterial.hu("medulla") > 60
    assert abs(portal.hu("kidney") - portal.hu("medulla")) < 40
    assert all(Enhancement(0.0, 2.0, 0.0).hu(name) == row[0] for name, row in TABLE.items())


def test_removed_organs_are_not_there() -> None:
    generator = np.random.default_rng(1)
    person = replace(draw_person(generator), absent=frozenset({"spleen", "gallbladder", "left kidney"}))
    names = {part.structure for part in body_anatomy(generator, person).parts}
    assert not names & {"spleen", "gallbladder", "left kidney"}
    assert "right kidney" in names


def test_surfaces_found_by_blocks_are_those_of_every_voxel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin works out each depth at every voxel."""
    grid = covering_grid((-160, -150, -40), (160, 120, 60), (3.5, 3.5, 3.5), None)
    anatomy = body_anatomy(np.random.default_rng(8))
    values = people.label_values(anatomy)
    hu, labels = scanner.render(anatomy, grid, values)
    monkeypatch.setattr(scanner, "depth_near_surface", lambda shape, x, y, z, _edge: shape.depth_mm(x, y, z))
    every_hu, every_label = scanner.render(anatomy, grid, values)
    assert (labels != every_label).mean() < 1e-4
    assert (np.abs(hu - every_hu) > 1.0).mean() < 3e-3


def test_rods_painted_at_once_are_those_painted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin is the painter of single solids, where no two rods meet in one voxel."""
    g = np.random.default_rng(2)
    starts = [(float(x), float(y), 0.0) for x in range(-40, 41, 16) for y in range(-40, 41, 16)]
    rods = tuple(Capsule(p, (p[0] + 3, p[1] - 2, 25.0), *g.uniform(0.5, 4.0, 2).tolist()) for p in starts)
    parts = (
        Part("body", 10.0, (Bulk((0, 0, 0), (70, 70, 20)),)),
        Part("aorta", 150.0, rods, 5, grain=0, slope_hu_mm=0.2),
    )
    bend = random_bend(g)
    anatomy = Anatomy(parts, (1.05, 0.97, 1.0), bend=bend, grains=(random_grain(g, 5.0),))
    grid = covering_grid((-60, -60, -20), (60, 60, 45), (2.0, 2.0, 2.5), None)
    hu, labels = scanner.render(anatomy, grid, {"body": 1, "aorta": 2})
    monkeypatch.setattr(scanner, "MANY_RODS", 10**6)
    one_by_one, same = scanner.render(anatomy, grid, {"body": 1, "aorta": 2})
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_allclose(hu, one_by_one, atol=1e-2)


def points(box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = [np.arange(low - 2, high + 3, 1.5) for low, high in box.T]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x, y, z


ROUND = Bulk((4, -3, 2), (14, 9, 20), (20, -15, 40))
SOLIDS = [
    ROUND, Bulk((4, -3, 2), (14, 9, 20), (20, -15, 40), 3.0), Slab((1, 2, 3), (15, 10, 8), (25, 0, 10), 2.4, 0.1),
    Grown(ROUND, 3.0), Rough(ROUND, ((0.2, 0.1, 0.05, 0.3, 2.0),)),
    Blend((ROUND, Capsule((10, 0, 0), (30, 5, 12), 5, 3)), 6.0),
    fan([(0, 0, 0), (10, 4, 0)], [(0, 5, 30), (22, 0, 28)], (4, 3), 6),
]  # fmt: skip


@pytest.mark.parametrize("solid", SOLIDS, ids=lambda s: type(s).__name__)
def test_boxes_hold_organic_solids(solid) -> None:
    box = solid.bounds()
    x, y, z = points(box + np.array([[-6], [6]]))
    inside = solid.depth_mm(x, y, z) > 0
    assert inside.any()
    for axis, a in enumerate((x, y, z)):
        assert a[inside].min() >= box[0, axis] - 1e-6
        assert a[inside].max() <= box[1, axis] + 1e-6


def test_a_round_bulk_has_the_volume_of_an_ellipsoid() -> None:
    x, y, z = np.meshgrid(*[np.arange(-24, 25, 0.75)] * 3, indexing="ij")
    counted = (ROUND.depth_mm(x, y, z) > 0).sum() * 0.75**3
    assert counted == pytest.approx(4 / 3 * np.pi * 14 * 9 * 20, rel=0.01)


def test_a_curve_passes_through_its_points() -> None:
    given = np.array([[0, 0, 0], [10, 5, 0], [20, -5, 8], [25, 0, 20]], dtype=float)
    line = curve(given, 5)
    assert all(np.abs(line - point).sum(axis=1).min() < 1e-9 for point in given)
    assert bent_tube([tuple(p) for p in given], 2.0)[0].start == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("radius", [0.4, 1.0, 2.5])
def test_thin_rods_keep_their_mass(radius: float) -> None:
    rod, edge = Capsule((0, 0, -50), (0, 0, 50), radius, radius), 2.0
    x, y, z = np.meshgrid(np.arange(-9, 10, 0.1), np.arange(-9, 10, 0.1), [0.0], indexing="ij")
    painted = np.clip(rod.depth_mm(x, y, z) / edge + 0.5, 0, 1).sum() * 0.01 * rod.share(edge)
    assert painted == pytest.approx(np.pi * radius**2, rel=0.03)
