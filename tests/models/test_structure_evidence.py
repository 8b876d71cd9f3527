"""What speaks for a structure is measured where it lies, however a scan is stored, clipped or cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect import vocabulary
from prosect.geometry import AxisOrder, Grid
from prosect.inference.accumulate import Slab
from prosect.inference.automatic import Classes
from prosect.inference.canvas import FlatCanvas
from prosect.inference.gauge import Gauge
from prosect.models.evidence import BodySections, Evidence, body_sections, evidence_of
from prosect.volume import Volume

WORDS = vocabulary.load("prosect")
BODY, LARYNX, MANDIBLE = (WORDS[name].index for name in ("body", "larynx", "mandible"))


def cylinder(area_cm2: float, planes: int = 6, spacing: float = 4.0) -> Volume:
    """A scan of a round body (0 HU) in air."""
    n = 80
    x = (np.arange(n) - (n - 1) / 2) * spacing
    inside = x[:, None] ** 2 + x[None, :] ** 2 <= area_cm2 * 100 / np.pi
    array = np.where(inside[:, :, None], 0.0, -1000.0).repeat(planes, axis=2)
    return Volume(array, Grid(array.shape, np.diag([spacing, spacing, 5.0, 1.0])), "CT")


@pytest.mark.parametrize("area", [60, 200, 700])
def test_a_section_is_the_area_of_the_body(area: float) -> None:
    sections = body_sections(cylinder(area))
    assert sections.areas_cm2 == pytest.approx([area] * 6, rel=0.05)
    assert sections.typical_cm2 == pytest.approx(area, rel=0.05)


def test_two_legs_are_two_pieces_and_a_table_is_no_body() -> None:
    leg = cylinder(150).array
    array = np.concatenate([leg, leg])
    array[:, 2, :] = 100.0  # a line across the scan, apart from both
    both = Volume(array, Grid(array.shape, np.diag([4.0, 4.0, 5.0, 1.0])), "CT")
    assert body_sections(both).typical_cm2 == pytest.approx(150, rel=0.05)


def test_sections_run_from_below_however_the_scan_is_stored_and_clipped() -> None:
    volume = cylinder(200)
    array = volume.array.copy()
    array[:, :, 4:] = -1000.0
    array = array.clip(-125, 275)
    plain = body_sections(Volume(array, volume.grid, "CT")).areas_cm2
    assert plain[0] == pytest.approx(200, rel=0.05)
    assert plain[5] == 0
    order = AxisOrder((2, 0, 1), (True, False, True))
    turned = Volume(order.apply(array), volume.grid.reorder(order), "CT")
    np.testing.assert_allclose(body_sections(turned).areas_cm2, plain)


def test_a_body_that_fills_a_plane_is_cut_and_one_that_a_crop_touches_is_not() -> None:
    whole = cylinder(700)
    assert not body_sections(whole).is_cut.any()
    middle = whole.array.shape[0] // 2
    tight = whole.array[middle - 37 : middle + 38, middle - 37 : middle + 38]
    assert not body_sections(Volume(tight, Grid(tight.shape, whole.grid.affine), "CT")).is_cut.any()
    inner = whole.array[middle - 20 : middle + 20, middle - 20 : middle + 20].copy()
    inner[0, 0] = -150.0  # fat
    assert body_sections(Volume(inner, Grid(inner.shape, whole.grid.affine), "CT")).is_cut.all()


def painted() -> tuple[FlatCanvas, Volume]:
    """A body with a larynx of 8 voxels in planes 6 and 7, 20 HU brighter from plane to plane."""
    array = np.zeros((8, 8, 10), np.uint16)
    array[1:7, 1:7, :] = BODY
    array[2:4, 2:4, 6:8] = LARYNX
    scan = np.broadcast_to(np.arange(10.0) * 20, array.shape).astype(np.float32)
    return FlatCanvas(array, (BODY, LARYNX)), Volume(scan, Grid((8, 8, 10), np.diag([2.0, 2.0, 5.0, 1.0])), "CT")


def test_evidence_is_taken_where_a_structure_lies() -> None:
    flat, volume = painted()
    sections = BodySections(np.arange(10.0) * 100, np.arange(10) == 6)
    won = {BODY: (300, 0.99), LARYNX: (1, 0.7), MANDIBLE: (2, 0.6)}
    found = evidence_of(flat, volume, won, 0.064, sections)
    assert found[LARYNX] == Evidence(pytest.approx(0.16), 0.7, 600.0, False, True, pytest.approx(130.0))
    assert found[BODY].touches_border
    assert found[MANDIBLE] == Evidence(0.128, 0.6), "what nobody asked for has no place"
    flipped = Volume(volume.array, Grid((8, 8, 10), np.diag([2.0, 2.0, -5.0, 1.0])), "CT")
    other = evidence_of(flat, flipped, won, 0.064, sections)[LARYNX]
    assert (other.section_cm2, other.is_cut) == (300.0, False)


def test_a_scan_without_a_body_has_no_girth() -> None:
    air = np.full((20, 20, 3), -1000.0, np.float32)
    assert body_sections(Volume(air, Grid(air.shape, np.eye(4)), "CT")).typical_cm2 == 0


def gauge(values: tuple[int, ...]) -> Gauge:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    return Gauge(Classes(vectors, values, (0, 0)), (LARYNX, MANDIBLE))


@pytest.mark.parametrize("values", [(LARYNX, MANDIBLE), (LARYNX, 0)])
def test_a_gauge_counts_and_averages_what_each_class_won_shown_or_not(values: tuple[int, ...]) -> None:
    features = torch.tensor([[2.0, 1.0], [4.0, -1.0], [-1.0, 3.0], [-1.0, -2.0]]).reshape(1, 2, 2, 2)
    one = gauge(values)
    one.add(Slab(0, features))
    one.add(Slab(1, features[:, :1]))
    won = one.won()
    mean = torch.tensor([2.0, 4.0, 2.0, 4.0]).sigmoid().mean()
    assert won[LARYNX] == (4, pytest.approx(float(mean)))
    assert won[MANDIBLE] == (1, pytest.approx(float(torch.tensor(3.0).sigmoid())))


def test_a_gauge_that_saw_nothing_names_nothing() -> None:
    one = gauge((1, 2))
    one.add(Slab(0, torch.full((1, 2, 2, 2), -1.0)))
    assert one.won() == {}
