"""A click of ours against MONAI's point_based_window_inferer on the same random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from official import test_vista3d_parity as parity
from prosect import vocabulary
from prosect.geometry import Grid
from prosect.inference.merge_official import merge_official
from prosect.inference.question import Question
from prosect.models.spec import ModelSpec, profile
from prosect.models.vista3d import Vista3DModel
from prosect.prompts import LabelledClick, click_label
from prosect.volume import Volume

pytest.importorskip("monai")
pytestmark = [pytest.mark.official, pytest.mark.filterwarnings("ignore")]

ROI = (32, 32, 32)
SHAPE = (48, 40, 36)


def official_click(
    net: torch.nn.Module, image: Tensor, points: list, labels: list, prompt_class: int, drafted: bool = False
) -> Tensor:
    """Return MONAI's logits (i j k), merged with its automatic ones if drafted; NaN outside the window."""
    from monai.apps.vista3d.inferer import point_based_window_inferer

    with torch.no_grad():
        out = point_based_window_inferer(
            inputs=image,
            roi_size=ROI,
            predictor=net,
            point_coords=torch.tensor([points], dtype=torch.float32),
            point_labels=torch.tensor([labels]),
            prompt_class=torch.tensor([prompt_class]),
            class_vector=torch.tensor([[prompt_class]]) if drafted else None,
            transpose=True,
        )
    return torch.as_tensor(out)[0, 0]


@pytest.mark.parametrize("structure", ["liver", "trachea", "something new"])
@pytest.mark.parametrize("point", [(24, 20, 18), (1, 2, 35), (47, 39, 1), (30.4, 9.7, 20.2)])
def test_the_first_click_is_the_official_one(structure: str, point: tuple[float, float, float]) -> None:
    net = parity.official(3, 16)
    spec = ModelSpec("random", vocabulary.load("vista3d-ct"), spacing_mm=(1.5, 1.5, 1.5), window=ROI)
    model = Vista3DModel(parity.ours(net), spec, profile("prosect"), torch.device("cpu"))
    array = np.random.default_rng(0).uniform(-900, 1000, SHAPE).astype(np.float32)
    volume = Volume(array, Grid(SHAPE, np.diag([1.5, 1.5, 1.5, 1.0])))
    answers = model.responder(volume)
    position = tuple(volume.grid.to_world(point).tolist())
    known = model.vocabulary.get(structure)
    label = click_label(True, known is not None and known.ambiguous)
    patch = answers.place(position, [])
    answers.propose(Question((LabelledClick(position, label, patch),), known is None), answers.box(patch))
    found = answers.answers.find((patch, ((position, label),), 1, known is None))

    image = spec.intensity.scale(torch.from_numpy(array.copy()))[None, None]
    expected = official_click(net, image, [point], [label], 133 if known is None else known.index)
    asked = ~expected.isnan()
    i, j, k = (slice(s, s + n) for s, n in zip(patch, ROI, strict=True))
    assert asked[i, j, k].all(), "the same patch"
    assert asked.sum() == np.prod(ROI)
    assert parity.relative(found, expected[i, j, k]) <= 1e-4


@pytest.mark.parametrize("labels", [[1], [0], [1, 0, 1], [0, 1, 0]])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_compatible_merge_repeats_a_whole_official_click_on_a_draft(seed: int, labels: list[int]) -> None:
    net = parity.official(seed, 16)
    mine = parity.ours(net)
    torch.manual_seed(seed)
    image = torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8, 8), size=ROI, mode="trilinear")
    points = (torch.rand(len(labels), 3) * 29 + 1).round()
    expected = official_click(net, image, points.tolist(), labels, 3, drafted=True).numpy()
    with torch.no_grad():
        automatic = mine(image, [3])[0].numpy()
        kind, given = torch.tensor([False]), torch.tensor([labels])
        answer = mine.point_logits(mine.interactive_features(image), points[None], given, kind)[:, 0].numpy()
    found = merge_official(automatic, answer, points[None].numpy(), given.numpy())[0]
    found *= len(labels)  # official: one window per click, and overlapping windows are added up
    assert (np.abs(found - expected) > 1e-3 * expected.std()).mean() < 1e-3, "but for voxels on the threshold"


@pytest.mark.parametrize(("objects", "clicks"), [(1, 1), (3, 7), (40, 2)])
def test_any_number_of_objects_and_clicks_equals_the_official_head(objects: int, clicks: int) -> None:
    net = parity.official(7, 16)
    torch.manual_seed(1)
    image = torch.rand(1, 1, 16, 32, 16)
    points = torch.rand(objects, clicks, 3) * torch.tensor([15.0, 31, 15])
    labels = torch.randint(-1, 4, (objects, clicks))
    labels[:, 0] = 1
    classes = torch.randint(1, 255, (objects,))
    with torch.no_grad():
        expected = net(image, point_coords=points, point_labels=labels, prompt_class=classes)
        mine = parity.ours(net)
        found = mine.point_logits(mine.interactive_features(image), points, labels, classes > 132)
    assert parity.relative(found, expected) <= 1e-4


def test_the_order_of_clicks_does_not_change_the_head_and_padding_does_change_it() -> None:
    net = parity.ours(parity.official(8, 16))
    torch.manual_seed(2)
    features = net.interactive_features(torch.rand(1, 1, 32, 16, 16))
    points, labels = torch.rand(1, 4, 3) * 15, torch.tensor([[1, 0, 1, 0]])
    kind = torch.tensor([False])
    expected = net.point_logits(features, points, labels, kind)
    order = torch.tensor([2, 0, 3, 1])
    assert parity.relative(net.point_logits(features, points[:, order], labels[:, order], kind), expected) < 1e-4
    padded = net.point_logits(features, torch.cat([points, points[:, :1]], 1), torch.tensor([[1, 0, 1, 0, -1]]), kind)
    assert parity.relative(padded, expected) > 1e-4, "official: a padding click is a token all the same"
