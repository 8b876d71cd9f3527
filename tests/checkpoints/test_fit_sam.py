"""Weights of Segment Anything: recognised by their shapes, taken over strictly, refused by what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from prosect.checkpoints import catalog, keeping
from prosect.checkpoints.files import RawWeights, read_weights
from prosect.checkpoints.fit_sam import fit_sam, variant_of
from prosect.errors import CheckpointError
from prosect.networks.sam import SAM_VARIANTS, SamFeatures, TinyVariant, VitVariant
from prosect.networks.vista3d import Architecture, vista3d

SMALL = VitVariant(dim=24, heads=2, windows=(3, 8), hidden=48, side=8, patch=16, out_channels=16)
SMALL_TINY = TinyVariant((8, 16, 24, 32), (1, 2, 1, 1), (0, 2, 3, 4), (0, 3, 4, 3), out_channels=16)


def official(variant: VitVariant | TinyVariant) -> dict[str, Tensor]:
    """Return random weights as an official file has them, with parts that only prompts need."""
    torch.manual_seed(0)
    tensors = dict(SamFeatures(variant).state_dict())
    tensors["prompt_encoder.not_a_point_embed.weight"] = torch.zeros(1, 16)
    tensors["mask_decoder.iou_token.weight"] = torch.zeros(1, 16)
    if isinstance(variant, TinyVariant):
        tensors["image_encoder.head.weight"] = torch.zeros(10, 32)
        tensors["image_encoder.layers.1.blocks.0.attn.attention_bias_idxs"] = torch.zeros(9, 9, dtype=torch.long)
    return tensors


def raw(tensors: dict[str, Tensor]) -> RawWeights:
    return RawWeights(tensors, "0" * 64, "torch")


@pytest.mark.parametrize("variant", [*SAM_VARIANTS.values(), SMALL, SMALL_TINY])
def test_the_variant_is_read_from_the_shapes(variant: VitVariant | TinyVariant) -> None:
    with torch.device("meta"):
        tensors = SamFeatures(variant).state_dict()
    assert variant_of(tensors) == variant


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("variant", [SMALL, SMALL_TINY], ids=["vit", "tiny"])
def test_an_official_file_gives_its_own_weights(variant: VitVariant | TinyVariant, prefix: str) -> None:
    tensors = official(variant)
    network, report = fit_sam(raw({prefix + key: value for key, value in tensors.items()}))
    for key, value in network.state_dict().items():
        assert torch.equal(value, tensors[key]), key
    assert len(report.dropped) == (2 if variant is SMALL else 4)
    assert not network.training
    assert "left out" in str(report)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.pop("image_encoder.blocks.1.mlp.lin2.bias"),
        lambda t: t.pop("mask_decoder.output_upscaling.3.weight"),
        lambda t: t.pop("image_encoder.pos_embed"),
        lambda t: t.pop("image_encoder.blocks.0.attn.rel_pos_h"),
        lambda t: t.update({"image_encoder.extra": torch.zeros(1)}),
        lambda t: t.update({"image_encoder.blocks.0.norm1.weight": torch.ones(5)}),
        lambda t: t.update({"image_encoder.pos_embed": torch.zeros(1, 9, 8, 24)}),
    ],
)
def test_an_incomplete_file_is_refused(spoil) -> None:
    tensors = official(SMALL)
    spoil(tensors)
    with pytest.raises(CheckpointError) as caught:
        fit_sam(raw(tensors))
    assert caught.value.code == "MODEL_WRONG_NETWORK"


def test_another_network_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match="not the weights of a 2D Segment Anything"):
        fit_sam(raw(dict(vista3d(Architecture(width=8, blocks=(1, 1))).state_dict())))


def test_imported_weights_are_found_verified_and_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSECT_WEIGHTS_DIR", str(tmp_path / "kept"))
    torch.save(official(SMALL), tmp_path / "sam.pth")
    place, report = keeping.import_weights(tmp_path / "sam.pth", "sam-vit-b")
    assert catalog.locate("sam-vit-b") == place
    assert str(keeping.verify("sam-vit-b")).startswith("Segment Anything: width 24, 2 blocks")
    assert not any(key.startswith("prompt_encoder") for key in read_weights(place).tensors)
    assert report.architecture == SMALL


def test_an_encoder_is_no_model_to_segment_with() -> None:
    with pytest.raises(CheckpointError, match="segments nothing by itself"):
        catalog.segmenter("mobile-sam")
    assert catalog.segmenter(None).network == "vista3d"
