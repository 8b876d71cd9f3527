"""How a Segment Anything encoder runs on each device."""

from __future__ import annotations

import pytest
import torch

from prosect.networks.sam import SamFeatures, VitVariant, branch_of

SMALL = VitVariant(dim=24, heads=2, windows=(3, 8), hidden=48, side=8, patch=16, out_channels=16)


@pytest.fixture(scope="module")
def network() -> SamFeatures:
    torch.manual_seed(3)
    return SamFeatures(SMALL).eval()


def test_a_processor_takes_slices_one_by_one_and_holds_them_in_the_computers_memory(network: SamFeatures) -> None:
    branch = branch_of(network, torch.device("cpu"))
    assert (branch.batch, branch.in_main_memory) == (1, True)
    image = torch.randn(1, 3, SMALL.image_side, SMALL.image_side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(branch.features(image), network(image))


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_another_device_takes_all_slices_together_in_its_own_memory(network: SamFeatures, kind: str) -> None:
    branch = branch_of(network, torch.device(kind))
    assert (branch.batch, branch.in_main_memory) == (None, False)


def test_only_a_gpu_computes_in_mixed_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[tuple[str, torch.dtype]] = []
    original = torch.autocast

    class Recording(original):  # type: ignore[misc, valid-type]
        def __init__(self, device_type: str, dtype: torch.dtype) -> None:
            entered.append((device_type, dtype))
            super().__init__("cpu", dtype=dtype, enabled=False)

    monkeypatch.setattr(torch, "autocast", Recording)
    network = SamFeatures(SMALL).eval()
    image = torch.zeros(1, 3, SMALL.image_side, SMALL.image_side)
    with torch.inference_mode():
        branch_of(network, torch.device("mps")).features(image)
        assert entered == []
        branch_of(network, torch.device("cuda")).features(image)
    assert entered == [("cuda", torch.bfloat16)]
