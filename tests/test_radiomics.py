"""Features are those that IBSI publishes for its digital phantom, within its tolerances; and laws that shapes obey."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prosect.boxes import Box
from prosect.geometry import Grid
from prosect.labelmap import LabelMap
from prosect.radiomics import features_of, finite, first_order, radiomics
from prosect.vocabulary import load
from prosect.volume import Volume

# IBSI reference manual, "Digital phantom": four slices of 4 rows and 5 columns, voxels of 2 mm; 0 lies outside.
SLICES = (
    ((1, 4, 4, 1, 1), (1, 4, 6, 1, 1), (4, 1, 6, 4, 1), (4, 4, 6, 4, 1)),
    ((1, 4, 4, 1, 1), (1, 1, 6, 1, 1), (0, 1, 3, 1, 1), (4, 4, 6, 1, 1)),
    ((1, 4, 4, 0, 0), (1, 1, 1, 1, 1), (1, 1, 0, 1, 1), (1, 1, 6, 1, 1)),
    ((1, 4, 4, 0, 0), (1, 1, 1, 1, 1), (1, 1, 1, 1, 1), (1, 1, 6, 1, 1)),
)
# Published value and tolerance.
PUBLISHED = {
    "morph_volume": (556, 4),
    "morph_vol_approx": (592, 4),
    "morph_area_mesh": (388, 3),
    "morph_av": (0.698, 0.004),
    "morph_comp_1": (0.0411, 0.0003),
    "morph_comp_2": (0.599, 0.004),
    "morph_sph_dispr": (1.19, 0.01),
    "morph_sphericity": (0.843, 0.005),
    "morph_asphericity": (0.186, 0.001),
    "morph_com": (0.672, 0.004),
    "morph_diam": (13.1, 0.1),
    "morph_pca_maj_axis": (11.4, 0.1),
    "morph_pca_min_axis": (9.31, 0.06),
    "morph_pca_least_axis": (8.54, 0.05),
    "morph_pca_elongation": (0.816, 0.005),
    "morph_pca_flatness": (0.749, 0.005),
    "morph_vol_dens_aabb": (0.869, 0.005),
    "morph_area_dens_aabb": (0.866, 0.005),
    "morph_integ_int": (1200, 10),
    "stat_mean": (2.15, 0.005),
    "stat_var": (3.05, 0.005),
    "stat_skew": (1.08, 0.005),
    "stat_kurt": (-0.355, 0.0005),
    "stat_median": (1, 0),
    "stat_min": (1, 0),
    "stat_p10": (1, 0),
    "stat_p90": (4, 0),
    "stat_max": (6, 0),
    "stat_iqr": (3, 0),
    "stat_range": (5, 0),
    "stat_mad": (1.55, 0.005),
    "stat_rmad": (1.11, 0.005),
    "stat_medad": (1.15, 0.005),
    "stat_cov": (0.812, 0.0005),
    "stat_qcod": (0.6, 0.001),
    "stat_energy": (567, 0),
    "stat_rms": (2.77, 0.005),
}


def phantom() -> tuple[np.ndarray, np.ndarray]:
    """Return intensities (i j k) and where the region is."""
    values = np.asarray(SLICES, dtype=np.float32).transpose(2, 1, 0)
    return values, values > 0


def ball(radius_mm: float, spacing: tuple[float, float, float]) -> tuple[np.ndarray, Grid]:
    sizes = [int(2 * radius_mm / s) + 5 for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(sizes, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius_mm**2, Grid(tuple(sizes), np.diag([*spacing, 1.0]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_digital_phantom_has_the_published_value(name: str) -> None:
    values, mask = phantom()
    value, tolerance = PUBLISHED[name]
    found = features_of(mask, values, Grid(mask.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    assert found[name] == pytest.approx(value, abs=tolerance + 1e-9)


def test_every_feature_is_checked_against_the_manual() -> None:
    values, mask = phantom()
    assert set(features_of(mask, values, Grid(mask.shape, np.eye(4)))) == set(PUBLISHED)


def test_sizes_do_not_depend_on_where_and_how_a_scan_lies() -> None:
    values, mask = phantom()
    plain = features_of(mask, values, Grid(mask.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    turned = np.array([[0.0, -2.0, 0, 900], [2.0, 0, 0, -3000], [0, 0, 2.0, 70], [0, 0, 0, 1]])
    again = features_of(mask, values, Grid(mask.shape, turned))
    for name, value in plain.items():
        assert again[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
def test_a_ball_has_the_size_of_a_ball(spacing: tuple[float, float, float]) -> None:
    mask, grid = ball(15.0, spacing)
    found = features_of(mask, np.ones(mask.shape), grid)
    assert found["morph_volume"] == pytest.approx(4 / 3 * math.pi * 15**3, rel=0.03)
    assert found["morph_diam"] == pytest.approx(30, abs=2)
    assert found["morph_pca_elongation"] == pytest.approx(1, abs=0.03)
    # steps between thick slices are surface, too
    assert 0.85 < found["morph_sphericity"] <= 1
    assert found["morph_com"] == pytest.approx(0, abs=1e-9)


def test_one_voxel_and_equal_intensities_have_features_without_a_warning() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    found = features_of(mask, np.zeros(mask.shape), Grid(mask.shape, np.eye(4)))
    assert found["morph_vol_approx"] == 1
    assert (found["stat_var"], found["stat_skew"], found["stat_kurt"]) == (0, 0, 0)
    assert math.isnan(found["morph_com"])
    assert finite(found)["morph_com"] is None
    assert finite(found)["stat_mean"] == 0.0


def test_first_order_is_that_of_a_known_sample() -> None:
    found = first_order(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert (found["stat_mean"], found["stat_var"], found["stat_energy"]) == (3, 2, 55)
    assert found["stat_skew"] == 0


def test_each_structure_that_is_present_has_a_row_and_its_own_voxels() -> None:
    words = load("prosect")
    array = np.zeros((6, 5, 4), np.uint8)
    array[:2], array[3:] = words["liver"].index, words["spleen"].index
    grid = Grid(array.shape, np.diag([1.0, 2.0, 3.0, 1.0]))
    scan = Volume(np.where(array == words["liver"].index, 50.0, 100.0), grid, "CT")
    rows = radiomics(LabelMap(array, grid, words), scan)
    assert {words[index].name: row["stat_mean"] for index, row in rows.items()} == {"liver": 50, "spleen": 100}
    assert rows[words["spleen"].index]["morph_vol_approx"] == 3 * 20 * 6
    assert Box.of_value(array, words["liver"].index).shape == (2, 5, 4)
