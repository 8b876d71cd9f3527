"""SAM-Med3D's mask decoder: prompt tokens and image features to a mask at a quarter of the features' spacing."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.channel_norm import ChannelNorm
from prosect.networks.two_way_transformer import TwoWayTransformer

__all__ = ["MaskDecoder"]

MASKS = 4
QUALITY_HIDDEN = 256


class _Mlp(nn.Module):
    """Linear layers with ReLUs between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        *first, last = self.layers
        for layer in first:
            x = F.relu(layer(x))
        out: Tensor = last(x)
        return out


class MaskDecoder(nn.Module):
    """Turn prompts and features into masks.

    Args:
        embedding: Token channels; must be divisible by 16 (eight heads at half width).
        hidden: Width of the transformer's MLP.
    """

    def __init__(self, embedding: int, hidden: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(2, embedding, heads=8, hidden=hidden, mlp_names=("lin1", "lin2"))
        self.iou_token = nn.Embedding(1, embedding)
        self.mask_tokens = nn.Embedding(MASKS, embedding)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(embedding, embedding // 4, 2, stride=2),
            ChannelNorm(embedding // 4),
            nn.GELU(),
            nn.ConvTranspose3d(embedding // 4, embedding // 8, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            _Mlp(embedding, embedding, embedding, embedding // 8) for _ in range(MASKS)
        )
        self.iou_prediction_head = _Mlp(embedding, QUALITY_HIDDEN, QUALITY_HIDDEN, MASKS)

    def forward(
        self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor, every: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits (q 1 4i 4j 4k) and predicted qualities (q 1).

        Args:
            image: Features of the crop (1 e i j k), or one per object.
            image_pe: Their position code (1 e i j k).
            sparse: Prompt tokens (q n e).
            dense: Features of the previous answer (q e i j k), or one for all objects.
            every: Return all four masks (q 4 ...) and qualities. official: the loss saw the first mask only, so the
                other three and all qualities of the published weights are untrained.
        """
        objects = sparse.shape[0]
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight]).expand(objects, -1, -1)
        features = (image + dense).expand(objects, -1, -1, -1, -1)
        queries, keys = self.transformer(
            features.flatten(2).transpose(1, 2),
            image_pe.flatten(2).transpose(1, 2).to(features.dtype),
            torch.cat([tokens, sparse], dim=1),
        )
        upscaled = self.output_upscaling(keys.transpose(1, 2).reshape(features.shape))
        shown = 1
        if every:
            shown = MASKS
        vectors = torch.stack([self.output_hypernetworks_mlps[n](queries[:, 1 + n]) for n in range(shown)], dim=1)
        masks = (vectors @ upscaled.flatten(2)).unflatten(-1, upscaled.shape[2:])
        return masks, self.iou_prediction_head(queries[:, 0])[:, :shown]
