"""SAM-Med3D's prompt encoder: clicks become tokens, the previous answer becomes a feature map."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from prosect.networks.channel_norm import ChannelNorm
from prosect.networks.fourier_position import FourierPosition

__all__ = ["IGNORED", "NEGATIVE", "POSITIVE", "Positions", "PromptEncoder"]

Positions = Literal["official", "fixed"]

IGNORED, NEGATIVE, POSITIVE = -1, 0, 1
MASK_CHANNELS = 16


class PromptEncoder(nn.Module):
    """Encode clicks and a mask.

    Args:
        embedding: Token channels; must be divisible by 3.
        box_embeddings: Whether there are embeddings of a box's corners. They are kept only because some published
            weights carry them: no published training ever used a box.
        positions: `official` keeps the exchanged axes of grids that the published weights were trained with; with
            `fixed` a click has the code of the place it lies at.
    """

    def __init__(self, embedding: int, box_embeddings: bool = False, positions: Positions = "official") -> None:
        super().__init__()
        # official: the code is sine, cosine and sine again, and grids count along the second axis first.
        if positions == "official":
            axes = (1, 0, 2)
        else:
            axes = (0, 1, 2)
        self.pe_layer = FourierPosition(embedding // 3, waves=("sin", "cos", "sin"), grid_axes=axes)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embedding) for _ in range(4 if box_embeddings else 2))
        self.not_a_point_embed = nn.Embedding(1, embedding)
        self.mask_downscaling = nn.Sequential(
            nn.Conv3d(1, MASK_CHANNELS // 4, 2, stride=2),
            ChannelNorm(MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv3d(MASK_CHANNELS // 4, MASK_CHANNELS, 2, stride=2),
            ChannelNorm(MASK_CHANNELS),
            nn.GELU(),
            nn.Conv3d(MASK_CHANNELS, embedding, 1),
        )
        self.no_mask_embed = nn.Embedding(1, embedding)

    def embed_points(self, points: Tensor, labels: Tensor, crop: tuple[int, int, int]) -> Tensor:
        """Return tokens (q n+1 e) of clicks (q n 3), in voxels of the crop, with labels (q n): 1, 0 or -1 (no click).

        official: a padding click follows the clicks, and is a token like them.
        """
        points = nn.functional.pad(points.float(), (0, 0, 0, 1))
        labels = nn.functional.pad(labels, (0, 1), value=IGNORED).unsqueeze(-1)
        unit = (points + 0.5) / torch.tensor(crop, device=points.device, dtype=torch.float32)
        with torch.autocast(points.device.type, enabled=False):  # phases are large: half precision would scramble them
            positions: Tensor = self.pe_layer(unit)
        embeddings: Any = self.point_embeddings
        codes = torch.where(labels == IGNORED, self.not_a_point_embed.weight, positions)
        codes = codes + embeddings[0].weight * (labels == NEGATIVE)
        out: Tensor = codes + embeddings[1].weight * (labels == POSITIVE)
        return out

    def embed_mask(self, logits: Tensor | None, grid: tuple[int, int, int]) -> Tensor:
        """Return features (q e i j k) of a previous answer (q 1 4i 4j 4k) in logits; of none, one code everywhere.

        The published weights never met "none": their first click comes with logits that are all zero.
        """
        if logits is None:
            return self.no_mask_embed.weight.view(1, -1, 1, 1, 1).expand(1, -1, *grid)
        out: Tensor = self.mask_downscaling(logits)
        return out

    def grid(self, shape: tuple[int, int, int]) -> Tensor:
        """Return the position code (1 e i j k) of the image features."""
        return self.pe_layer.grid(shape).unsqueeze(0)
