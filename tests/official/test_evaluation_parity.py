"""Surface Dice against MONAI's, cell by cell and on whole masks; the published split against MONAI's partitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from prosect.data.splits import SEED, published_split
from prosect.evaluation.surface import surface_dice
from prosect.evaluation.surfels import CORNERS, areas_mm2
from prosect.geometry import Grid

pytest.importorskip("monai")
ndimage = pytest.importorskip("scipy.ndimage")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]


def test_every_cell_has_the_area_of_monais_table() -> None:
    from monai.metrics.utils import create_table_neighbour_code_to_surface_area

    for spacing in ((1.0, 1.0, 1.0), (1.3, 0.7, 2.9), (0.2, 5.0, 1.0)):
        table, kernel = create_table_neighbour_code_to_surface_area(spacing)
        bits = kernel[0, 0].numpy().astype(int)
        ours = areas_mm2(spacing)
        for code in range(256):
            theirs = sum(int(bits[corner]) for bit, corner in enumerate(CORNERS) if code >> bit & 1)
            assert ours[code] == pytest.approx(float(table[theirs]), rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [1.0, 2.0])
def test_surface_dice_is_monais(seed: int, tolerance: float) -> None:
    from monai.metrics import compute_surface_dice

    rng = np.random.default_rng(seed)
    shape, spacing = (26, 22, 18), (0.8, 1.1, 2.5)
    found, truth = (ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.05 for _ in range(2))
    found &= truth | (rng.uniform(size=shape) < 0.7)
    tensors = [torch.from_numpy(mask)[None, None] for mask in (found, truth)]
    official = compute_surface_dice(*tensors, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True)
    ours = surface_dice(found, truth, Grid(shape, np.diag([*spacing, 1.0])), tolerance)
    assert ours == pytest.approx(float(official), abs=1e-5)


@pytest.mark.parametrize("count", [1, 7, 27, 63, 117, 303, 374])
def test_the_split_is_that_of_monais_partitions(count: int) -> None:
    from monai.data.utils import partition_dataset

    scans = list(range(count))
    train, test = partition_dataset(scans, ratios=[0.8, 0.2], shuffle=True, seed=SEED)
    ours = published_split(count)
    assert sorted(test) == [n for n, (split, _) in enumerate(ours) if split == "testing"]
    if len(train) >= 5:
        folds = partition_dataset(train, num_partitions=5, shuffle=True, seed=SEED)
        for fold, members in enumerate(folds):
            assert sorted(members) == [n for n, place in enumerate(ours) if place == ("training", fold)]
