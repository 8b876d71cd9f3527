"""What counts as a scan."""

from __future__ import annotations

import numpy as np
import pytest

from prosect.errors import FormatError, GeometryError
from prosect.geometry import Grid
from prosect.volume import Source, Volume

GRID = Grid((2, 3, 4), np.eye(4))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int16, np.uint16, np.int64, np.float16, np.float64, ">i2"])
def test_real_numbers_of_any_type_become_float32(kind: type) -> None:
    volume = Volume(np.ones(GRID.shape, dtype=kind), GRID)
    assert volume.array.dtype == np.float32
    assert volume.array.dtype.isnative
    assert (volume.array == 1).all()


def test_float32_is_not_copied() -> None:
    array = np.zeros(GRID.shape, dtype=np.float32)
    assert Volume(array, GRID).array is array


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf, -np.inf], [1e300]])
def test_one_value_that_is_no_float32_is_refused_and_counted(bad: list[float]) -> None:
    array = np.zeros(GRID.shape)
    array.flat[: len(bad)] = bad
    with pytest.raises(FormatError, match=f"^{len(bad)} of 24 ") as caught:
        Volume(array, GRID)
    assert caught.value.code == "INPUT_NONFINITE"


def test_finite_values_whose_sum_is_large_are_kept() -> None:
    assert Volume(np.full(GRID.shape, 3e38), GRID).array.max() == np.float32(3e38)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3)),
        np.zeros((2, 3, 4, 1)),
        np.zeros((2, 3, 4), dtype=complex),
        np.zeros((2, 3, 4), dtype="U1"),
        np.zeros((2, 3, 4), dtype=object),
        np.zeros((2, 3, 4), dtype=[("r", "u1"), ("g", "u1"), ("b", "u1")]),
    ],
    ids=["2D", "4D", "complex", "text", "object", "colour"],
)
def test_what_is_not_a_3d_scan_of_real_intensities_is_refused(array: np.ndarray) -> None:
    with pytest.raises(FormatError) as caught:
        Volume(array, GRID)
    assert caught.value.code == "INPUT_NOT_SCALAR"


def test_array_and_grid_must_agree_even_where_the_count_does() -> None:
    with pytest.raises(GeometryError, match=r"\(4, 3, 2\).*\(2, 3, 4\)"):
        Volume(np.zeros((4, 3, 2)), GRID)


def test_sources_compare_without_their_header() -> None:
    assert Source("a", header=object()) == Source("a", header=object())
    assert "header" not in repr(Source("a", header="SECRET"))
