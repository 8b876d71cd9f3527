"""Who is drawn, and what a head, a spine, a tree of vessels and a limb are made of: symmetric, in order, in range."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosect import vocabulary
from prosect.phantom.anatomy import Part
from prosect.phantom.body import outline
from prosect.phantom.body.branching import forks, tree
from prosect.phantom.body.contrast import PHASES, TABLE, Enhancement, draw_enhancement
from prosect.phantom.body.frame import along, rib, share
from prosect.phantom.body.hips import CREST, mirror, wide
from prosect.phantom.body.muscles import buttock_parts, loin_parts
from prosect.phantom.body.person import ABSENCES, VARIATION, Person, draw_person
from prosect.phantom.bones import BACK_OF_BODY_MM, spine, vertebra
from prosect.phantom.head_neck import dental_arch, head_neck_anatomy, jaw, pair, shoulders, throat
from prosect.phantom.shapes import Capsule, Shape

SOMEONE = draw_person(np.random.default_rng(0))
WORDS = vocabulary.load("prosect")


def depth(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the depth of points (n 3)."""
    x, y, z = (np.ascontiguousarray(column, dtype=np.float32) for column in points.T)
    return np.asarray(shape.depth_mm(x, y, z)).reshape(len(points))


def around(shape: Shape, count: int = 300, seed: int = 0) -> np.ndarray:
    """Return points (n 3) in and around the box of a shape."""
    low, high = shape.bounds()
    return np.random.default_rng(seed).uniform(low - 5, high + 5, (count, 3))


def test_people_stay_within_what_adults_are() -> None:
    for seed in range(60):
        person = draw_person(np.random.default_rng(seed))
        assert 3.5 <= person.fat_mm <= 55
        assert 0 <= person.belly <= 1.3
        assert 0.6 <= person.muscle <= 1.25
        assert 0 <= person.marbling <= 1
        assert 0.55 <= person.bone <= 1.4
        assert -1 <= person.breath <= 1
        assert 0.5 <= person.hunch <= 1.7
        assert 0 <= person.age < 1
        assert person.arms in ("up", "down", "none")
        assert person.absent <= set(ABSENCES)
        assert all(0.75 < axis < 1.3 for axis in person.scale)
        assert set(person.sizes) == set(VARIATION)
        for organ, sd in VARIATION.items():
            assert abs(person.size(organ) - 1) <= 2.5 * sd + 1e-9, organ


def test_an_organ_without_a_size_of_its_own_has_the_usual_one() -> None:
    assert SOMEONE.size("spine") == 1.0


def test_people_differ_as_a_population_does() -> None:
    drawn = [draw_person(np.random.default_rng(seed)) for seed in range(400)]
    women = [p for p in drawn if p.female]
    men = [p for p in drawn if not p.female]
    assert 0.4 < len(women) / len(drawn) < 0.6
    assert np.mean([p.scale[2] for p in men]) > np.mean([p.scale[2] for p in women]) + 0.03
    assert np.mean([p.fat_mm for p in women]) > np.mean([p.fat_mm for p in men])
    assert np.corrcoef([p.age for p in drawn], [p.bone for p in drawn])[0, 1] < -0.3
    lacking = np.mean(["gallbladder" in p.absent for p in drawn])
    assert 0.03 < lacking < 0.14
    assert 0.6 < np.mean([p.arms == "up" for p in drawn]) < 0.8


def test_one_generator_is_one_person() -> None:
    first, again, other = (draw_person(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_contrast_is_drawn_native_or_after_an_injection() -> None:
    drawn = [draw_enhancement(np.random.default_rng(seed)) for seed in range(300)]
    native = [e for e in drawn if e.moment == 0]
    assert 0.25 < len(native) / len(drawn) < 0.42
    assert all(e.phase == "native" for e in native)
    for e in drawn:
        assert e.moment == 0 or 0.8 <= e.moment <= 3.0
        assert 0.6 <= e.dose <= 1.5
        assert e.oral == 0 or 120 <= e.oral <= 450
    assert sum(e.phase == "portal" for e in drawn) > sum(e.phase == "arterial" for e in drawn)


@given(st.sampled_from(sorted(TABLE)), st.floats(0, 3), st.floats(0.6, 1.5))
@settings(max_examples=60, deadline=None)
def test_attenuation_lies_between_the_neighbouring_phases_and_scales_with_the_dose(
    tissue: str, moment: float, dose: float
) -> None:
    row = TABLE[tissue]
    before, after = row[int(moment)], row[min(int(moment) + 1, 3)]
    plain = Enhancement(moment, 1.0, 0.0).hu(tissue)
    assert min(before, after) - 1e-9 <= plain <= max(before, after) + 1e-9
    assert Enhancement(moment, dose, 0.0).hu(tissue) - row[0] == pytest.approx(dose * (plain - row[0]), abs=1e-9)


@pytest.mark.parametrize("number", range(4))
def test_at_a_phase_the_table_is_read_as_it_stands(number: int) -> None:
    moment = Enhancement(float(number), 1.0, 0.0)
    assert moment.phase == PHASES[number]
    for tissue, row in TABLE.items():
        assert moment.hu(tissue) == pytest.approx(row[number]), tissue


def test_a_tissue_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="cheese"):
        SOMEONE.enhancement.hu("cheese")


@pytest.mark.parametrize(("levels", "goals"), [(0, 1), (1, 2), (3, 2)])
def test_a_tree_forks_in_two_at_every_level(levels: int, goals: int) -> None:
    toward = [(10.0 * n, 20.0, 30.0) for n in range(goals)]
    rods = tree(np.random.default_rng(0), (0.0, 0.0, 0.0), toward, 4.0, levels)
    assert len(rods) == goals * (2 ** (levels + 1) - 1)
    children: dict[tuple[float, float, float], int] = defaultdict(int)
    ends = {rod.stop for rod in rods}
    for rod in rods[goals:]:
        assert rod.start in ends, "every branch begins where another ends"
        children[rod.start] += 1
    assert set(children.values()) <= {2}


def test_branches_get_thinner_and_shorter_on_their_way() -> None:
    rods = tree(np.random.default_rng(2), (0.0, 0.0, 0.0), [(0.0, 0.0, 60.0)], 6.0, 4)
    length = {rod.stop: np.linalg.norm(np.subtract(rod.stop, rod.start)) for rod in rods}
    for rod in rods:
        assert rod.stop_radius_mm < rod.start_radius_mm
    for rod in rods[1:]:
        parent = next(each for each in rods if each.stop == rod.start)
        assert rod.start_radius_mm < parent.stop_radius_mm
        assert length[rod.stop] < 1.0 * length[parent.stop]


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_forks_leave_on_either_side_within_the_stated_angles(seed: int) -> None:
    g = np.random.default_rng(seed)
    way = g.normal(0, 20, 3)
    first, second = forks(g, np.zeros(3), way, 0.8)
    for end, heading in (first, second):
        np.testing.assert_allclose(end, heading)
        cosine = heading @ way / np.linalg.norm(heading) / np.linalg.norm(way)
        assert np.cos(0.75) - 1e-6 <= cosine <= np.cos(0.25) + 1e-6
        ratio = np.linalg.norm(heading) / np.linalg.norm(way)
        assert 0.8 * 0.75 - 1e-6 <= ratio <= 0.8 * 1.25 + 1e-6
    unit = way / np.linalg.norm(way)
    sideways = [heading - (heading @ unit) * unit for _, heading in (first, second)]
    assert sideways[0] @ sideways[1] < 0, "they part"


HEIGHTS = {"L2": -30.0, "L1": 0.0, "T12": 29.0, "T11": 56.0}
CURVE = ((-60.0, -40.0), (80.0, -44.0))


def test_a_spine_has_every_vertebra_a_canal_behind_it_and_a_cord_in_the_canal() -> None:
    parts = spine(HEIGHTS, CURVE, cord_end=-10.0)
    names = [part.structure for part in parts]
    for name in HEIGHTS:
        assert names.count(f"vertebrae {name}") == 2, "body, and arch"
    canal = next(part for part in parts if part.hu == 14.0)
    (cord,) = (part for part in parts if part.structure == "spinal cord")
    line = np.array([rod.start for rod in cord.shapes] + [cord.shapes[-1].stop])  # type: ignore[union-attr, attr-defined]
    assert line[:, 2].min() == -10.0
    inside = np.max([depth(rod, line[1:-1]) for rod in canal.shapes], axis=0)
    assert bool((inside > 0).all())
    bodies = np.array([shape.bounds() for part in parts if part.hu == 430.0 for shape in part.shapes])
    assert bool((line[:, 1].max() < bodies[:, :, 1].mean(axis=1)).all()), "behind the bodies"


def test_a_cord_that_ends_above_the_spine_is_not_there() -> None:
    parts = spine(HEIGHTS, CURVE, cord_end=500.0)
    assert not [part for part in parts if part.structure == "spinal cord"]


def test_a_vertebra_is_symmetric_waisted_and_filled_with_marrow() -> None:
    body, marrow, arch = vertebra("vertebrae L1", 0.0, -40.0, 22.0, 30.0)
    (solid,) = body.shapes
    widths = [float(solid.at(np.array(z))[2]) for z in (-0.39 * 30, 0.0, 0.39 * 30)]  # type: ignore[attr-defined]
    assert widths[0] == widths[2] == pytest.approx(22.0)
    assert widths[1] == pytest.approx(0.9 * 22.0)
    assert marrow.structure is None
    points = around(marrow.shapes[0])
    inner = depth(marrow.shapes[0], points) > 0
    assert inner.any()
    assert bool((depth(solid, points)[inner] > 0).all()), "marrow lies in the bone"
    at = np.random.default_rng(1).uniform((-40, -90, -20), (40, -30, 20), (800, 3))
    union = np.max([depth(shape, at) for shape in arch.shapes], axis=0)
    other = np.max([depth(shape, at * (-1, 1, 1)) for shape in arch.shapes], axis=0)
    np.testing.assert_allclose(union, other, atol=1e-3)
    middle = np.array([[0.0, -40.0 - BACK_OF_BODY_MM * 22 / 20, 0.0]])
    assert max(depth(shape, middle)[0] for shape in arch.shapes) < 0, "the canal is open"


def test_a_head_has_a_scale_within_limits_and_names_of_the_vocabulary() -> None:
    for seed in range(5):
        anatomy = head_neck_anatomy(np.random.default_rng(seed))
        assert all(0.94 <= s <= 1.06 for s in anatomy.scale)
        assert anatomy.waves is not None
        assert all(part.structure is None or part.structure in WORDS for part in anatomy.parts)
    heads = [head_neck_anatomy(np.random.default_rng(seed)).scale for seed in (0, 0, 1)]
    assert heads[0] == heads[1] != heads[2]


@pytest.mark.parametrize("turns", [(0.0, 0.0), (20.0, 0.0), (-35.0, 15.0)])
def test_a_pair_is_one_solid_and_its_mirror_image(turns: tuple[float, float]) -> None:
    right, left = pair((30.0, 5.0, -8.0), (9.0, 15.0, 6.0), *turns)
    at = around(right)
    np.testing.assert_allclose(depth(right, at), depth(left, at * (-1, 1, 1)), atol=1e-4)
    assert right.center[0] > 0 > left.center[0]


def mirrored_names(parts: list[Part]) -> dict[str, list[Part]]:
    """Return the named parts of a side by what follows the side in their name."""
    found: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if part.structure and part.structure.split()[0] in ("left", "right"):
            found[part.structure.split(" ", 1)[1]].append(part)
    return dict(found)


MAKERS = {
    "shoulders": shoulders,
    "loins": lambda: loin_parts(SOMEONE),
    "buttocks": lambda: buttock_parts(SOMEONE),
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_left_half_mirrors_the_right(name: str) -> None:
    halves = mirrored_names(MAKERS[name]())
    assert halves
    for structure, (right, left) in halves.items():
        assert right.structure == f"right {structure}"
        assert left.structure == f"left {structure}"
        assert (right.hu, right.texture_hu) == (left.hu, left.texture_hu)
        low, high = right.shapes[0].bounds()
        at = np.random.default_rng(0).uniform(low, high, (200, 3))
        one = np.max([depth(shape, at) for shape in right.shapes], axis=0)
        other = np.max([depth(shape, at * (-1, 1, 1)) for shape in left.shapes], axis=0)
        np.testing.assert_allclose(one, other, atol=2e-3, err_msg=structure)
        assert (one > 0).any(), structure


def test_teeth_stand_on_half_an_ellipse_evenly_from_side_to_side() -> None:
    teeth = dental_arch(27.0, 34.0, -53.0)
    at = np.array([tooth.center for tooth in teeth])
    assert len(teeth) == 14
    np.testing.assert_allclose((at[:, 0] / 27) ** 2 + ((at[:, 1] - 46) / 34) ** 2, 1.0)
    np.testing.assert_allclose(at[:, 0], -at[::-1, 0], atol=1e-9)
    assert bool((at[:, 1] > 46).all()), "in front"


def test_fillings_are_metal_and_only_some_have_one() -> None:
    metal = []
    for seed in range(60):
        last = jaw(np.random.default_rng(seed))[-1]
        assert last.hu == 3000
        metal.append(bool(last.shapes))
    assert 0.12 < np.mean(metal) < 0.5


def test_the_windpipe_is_air_within_its_wall_and_in_front_of_the_gullet() -> None:
    parts = throat(np.random.default_rng(0))
    by_name = {part.structure: part for part in parts if part.structure}
    wall = by_name["trachea"].shapes
    air = parts[-1]
    assert air.structure is None
    low = [rod for rod in air.shapes if isinstance(rod, Capsule) and rod.start[2] < -120]
    assert low
    for rod in low:
        at = np.array([rod.start, rod.stop])
        outer = np.max([depth(shape, at) for shape in wall], axis=0)
        inner = depth(rod, at)
        assert bool((outer > inner).all())
    gullet = np.array([rod.stop for rod in by_name["esophagus"].shapes])  # type: ignore[attr-defined]
    pipe = np.array([rod.stop for rod in wall])  # type: ignore[attr-defined]
    assert gullet[-1, 1] < pipe[-1, 1]


def person(**changes: object) -> Person:
    """Return an average person with some facts changed."""
    return replace(SOMEONE, female=False, belly=0.2, fat_mm=15.0, muscle=1.0, arms="none", **changes)  # type: ignore[arg-type]


def test_a_belly_bulges_in_front_and_nowhere_behind() -> None:
    lean, round_ = (outline.swell(outline.CAVITY, replace(person(), belly=b)) for b in (0.0, 1.0))
    np.testing.assert_array_equal(lean[:, :2], round_[:, :2])
    grown = round_[:, 2] - lean[:, 2]
    heights = lean[:, 0]
    assert grown[(heights > -150) & (heights < -80)].min() == pytest.approx(36)
    np.testing.assert_allclose(grown[heights >= 120], 0)


def test_hips_of_a_woman_are_wider_and_only_hips() -> None:
    man, woman = (outline.swell(outline.CAVITY, replace(person(), female=f)) for f in (False, True))
    heights, ratio = man[:, 0], woman[:, 3] / man[:, 3]
    assert ratio[(heights > -330) & (heights < -200)].min() > 1.02
    np.testing.assert_allclose(ratio[heights >= -120], 1.0)
    assert wide(replace(person(), female=True)) > wide(person()) == 1.0


def test_skin_encloses_muscle_and_muscle_encloses_the_cavity() -> None:
    someone = person()
    cavity, wall, skin = outline.cavity(someone), outline.muscle_wall(someone), outline.skin(someone)
    at = np.random.default_rng(3).uniform((-180, -160, -300), (180, 130, 200), (4000, 3))
    inside = depth(cavity, at) > 0
    assert inside.sum() > 400
    assert (depth(wall, at)[inside] > 0).mean() > 0.995
    assert bool((depth(skin, at)[depth(wall, at) > 0.5] > 0).all())


@pytest.mark.parametrize("fat_mm", [5.0, 30.0])
def test_fat_lies_between_skin_and_muscle_as_thick_as_it_is_said(fat_mm: float) -> None:
    someone = replace(person(), fat_mm=fat_mm)
    z = np.array(-60.0)
    _, middle_in, side_in, depth_in = outline.muscle_wall(someone).at(z)
    _, middle_out, side_out, depth_out = outline.skin(someone).at(z)
    assert float(side_out - side_in) == pytest.approx(fat_mm, rel=0.1)
    front = float(middle_out + depth_out - middle_in - depth_in)
    assert front == pytest.approx(1.1 * fat_mm, rel=0.1)


@pytest.mark.parametrize("side", [1, -1])
def test_arms_lie_where_the_person_holds_them(side: int) -> None:
    tips = {arms: outline.arm(replace(person(), arms=arms), side)[0][-1] for arms in ("up", "down", "none")}
    assert tips["up"][2] > 300
    assert tips["down"][2] < -250
    assert all(side * tip[0] > 100 for tip in tips.values())
    for arms in ("up", "down", "none"):
        path, radii = outline.arm(replace(person(), arms=arms), side)
        assert len(path) == len(radii)
        assert radii == sorted(radii, reverse=True), "thinner towards the hand"


def test_only_women_have_breasts() -> None:
    assert outline.breasts(person()) == ()
    assert outline.gland(person()) == []
    right, left = outline.breasts(replace(person(), female=True))
    assert right.bounds()[0, 0] > 0 > left.bounds()[1, 0]


def test_deep_breath_lowers_the_domes() -> None:
    tops = [float(outline.domes(replace(person(), breath=b)).bounds()[1, 2]) for b in (-1.0, 0.0, 1.0)]
    assert tops == sorted(tops, reverse=True)
    assert tops[0] - tops[2] == pytest.approx(26, abs=3)


def test_a_slice_is_what_lies_between_two_heights() -> None:
    z = np.linspace(-50, 50, 101)
    at = np.stack([np.full(101, 7.0), np.full(101, -3.0), z], axis=1)
    found = depth(outline.slice_between(-20, 30), at)
    np.testing.assert_allclose(found, np.minimum(z + 20, 30 - z), atol=1e-5)


def test_points_of_a_hip_are_mirrored_and_stretched_sideways_only() -> None:
    right, left = mirror(CREST, 1, 1.05), mirror(CREST, -1, 1.05)
    for (x, y, z), (a, b, c), (d, e, f) in zip(CREST, right, left, strict=True):
        assert (a, b, c) == pytest.approx((1.05 * x, y, z))
        assert (d, e, f) == pytest.approx((-a, b, c))


@pytest.mark.parametrize("angle", [-80.0, -30.0, 0.0, 45.0, 90.0])
@pytest.mark.parametrize("side", [1, -1])
def test_points_along_the_cage_lie_on_its_wall(angle: float, side: int) -> None:
    cage = outline.cavity(person())
    x, y, z = along(cage, angle, side, 40.0)
    assert z == 40.0
    assert side * x >= 0
    assert abs(float(depth(cage, np.array([[x, y, z]]))[0])) < 0.5


@pytest.mark.parametrize("number", range(1, 13))
def test_a_rib_runs_forwards_and_down_and_true_ribs_reach_the_front(number: int) -> None:
    cage = outline.cavity(person())
    bone, cartilage = rib(number, 1, 100.0, -90.0, cage)
    heights = [z for _, _, z in bone[1:]]
    assert heights == sorted(heights, reverse=True)
    assert bone[0] == (24.0, -90.0, 100.0)
    assert bool(cartilage) == (number <= 7)
    if cartilage:
        assert cartilage[0] == bone[-1]
        assert cartilage[-1][0] < bone[-1][0], "towards the breastbone"
    left, _ = rib(number, -1, 100.0, -90.0, cage)
    np.testing.assert_allclose(np.array(left), np.array(bone) * (-1, 1, 1))


def test_a_rib_has_made_all_of_its_fall_near_the_front() -> None:
    assert share(-80.0) == 0
    assert share(70.0) == 1
    assert share(-5.0) == pytest.approx(0.5)
