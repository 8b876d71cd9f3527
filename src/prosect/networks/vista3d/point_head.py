"""The interactive branch's head: clicks to a mask (VISTA3D, Sec. 3.2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.fourier_position import FourierPosition
from prosect.networks.two_way_transformer import TwoWayTransformer

__all__ = ["IGNORED", "NEGATIVE", "NEGATIVE_AMBIGUOUS", "POSITIVE", "POSITIVE_AMBIGUOUS", "PointHead"]

IGNORED, NEGATIVE, POSITIVE, NEGATIVE_AMBIGUOUS, POSITIVE_AMBIGUOUS = -1, 0, 1, 2, 3


class _HyperMlp(nn.Module):
    """Three linear layers with ReLUs between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, second, third = self.layers
        out: Tensor = third(F.relu(second(F.relu(first(x)))))
        return out


class PointHead(nn.Module):
    """Turn clicks on a patch into one mask per object.

    Args:
        width: Feature channels; must be divisible by 8 (four heads at half width).
        classes: Rows of the class embedding table, kept only because checkpoints carry it.
    """

    def __init__(self, width: int, classes: int = 512) -> None:
        super().__init__()
        self.feat_downsample = nn.Sequential(
            nn.Conv3d(width, width, 3, stride=2, padding=1),
            nn.InstanceNorm3d(width),
            nn.GELU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.InstanceNorm3d(width),
        )
        self.mask_downsample = nn.Conv3d(2, 2, 3, stride=2, padding=1)  # official: never used
        self.transformer = TwoWayTransformer(depth=2, dim=width, heads=4, hidden=512)
        self.pe_layer = FourierPosition(width // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(2))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.special_class_embed = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(1, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose3d(width, width, 3, stride=2, padding=1, output_padding=1),
            nn.InstanceNorm3d(width),
            nn.GELU(),
            nn.Conv3d(width, width, 3, padding=1),
        )
        self.output_hypernetworks_mlps = _HyperMlp(width)
        self.class_embeddings = nn.Embedding(classes, width)  # official: never used
        self.zeroshot_embed = nn.Embedding(1, width)
        self.supported_embed = nn.Embedding(1, width)

    def embed_points(self, points: Tensor, labels: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Return tokens (q n d) of points (q n 3), in voxels of a patch of `shape`, with labels (q n) from -1 to 3."""
        unit = (points.float() + 0.5) / torch.tensor(shape, device=points.device, dtype=torch.float32)
        positions: Tensor = self.pe_layer(unit).to(self.mask_tokens.weight.dtype)
        label = labels.unsqueeze(-1)
        embeddings: Any = self.point_embeddings
        negative, positive = embeddings[0].weight, embeddings[1].weight
        codes: Tensor = torch.where(label == IGNORED, self.not_a_point_embed.weight, positions)
        codes = codes + negative * ((label == NEGATIVE) | (label == NEGATIVE_AMBIGUOUS))
        codes = codes + positive * ((label == POSITIVE) | (label == POSITIVE_AMBIGUOUS))
        special: Tensor = self.special_class_embed.weight * (label >= NEGATIVE_AMBIGUOUS)
        return codes + special

    @property
    def stride(self) -> int:
        """Voxels of the patch in one voxel of the coarsest map."""
        return 2

    def downsample(self, features: Tensor) -> Tensor:
        """Return image features (1 d i/2 j/2 k/2): all that later clicks in the same patch need."""
        out: Tensor = self.feat_downsample(features)
        return out

    def forward(self, image: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return mask logits (q 1 i j k).

        Args:
            image: Result of `downsample` (1 d i/2 j/2 k/2).
            points: Clicks (q n 3) in voxels of the full-resolution patch.
            labels: Click labels (q n), -1 to 3.
            zero_shot: Whether each object (q) is outside the supported classes.
        """
        half = (int(image.shape[2]), int(image.shape[3]), int(image.shape[4]))
        image_tokens, mask_token = self.attend(image, points, labels, zero_shot)
        return self.upscale(image_tokens.transpose(1, 2).reshape(*mask_token.shape, *half), mask_token)

    def attend(self, image: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> tuple[Tensor, Tensor]:
        """Return image tokens (q s d) and the mask token (q d) after mutual attention; arguments as for `forward`."""
        half = (int(image.shape[2]), int(image.shape[3]), int(image.shape[4]))
        tokens = self.prompt_tokens(half, points, labels, zero_shot)
        image_pe = self.position_codes(half).to(image.dtype).unsqueeze(0)
        image_tokens = image.flatten(2).transpose(1, 2).expand(len(tokens), -1, -1)
        tokens, image_tokens = self.transformer(image_tokens, image_pe, tokens)
        return image_tokens, tokens[:, 0]

    def prompt_tokens(self, half: tuple[int, int, int], points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return mask token, clicks and kind of each object (q t d); `half` is the shape of the image features."""
        clicks = self.embed_points(points, labels, (2 * half[0], 2 * half[1], 2 * half[2]))
        objects = clicks.shape[0]
        kind = torch.where(zero_shot.view(-1, 1, 1), self.zeroshot_embed.weight, self.supported_embed.weight)
        mask_token = self.mask_tokens.weight.expand(objects, 1, -1)
        # The mask token first: it is the one that comes back.
        return torch.cat([mask_token, clicks, kind.expand(objects, 1, -1)], dim=1)

    def position_codes(self, half: tuple[int, int, int]) -> Tensor:
        """Return the position codes of image features of a shape (s d)."""
        codes: Tensor = self.pe_layer.grid(half)
        return codes.flatten(1).T

    def upscale(self, image: Tensor, mask_token: Tensor) -> Tensor:
        """Return logits (q 1 i j k) of image tokens (q d i/2 j/2 k/2) against the mask token (q d).

        Differs from the official code: the last convolution is only ever multiplied by one vector per object, so the
        two are folded into a single convolution to one channel. Exact, and six times less arithmetic.
        """
        vector = self.output_hypernetworks_mlps(mask_token)
        *head, last = self.output_upscaling
        for layer in head:
            image = layer(image)
        weight = torch.einsum("qo,oiabc->qiabc", vector, last.weight)[:, None]
        bias = vector @ last.bias
        # One by one: a grouped convolution of all objects takes up to four times as long.
        masks = []
        for one, w, b in zip(image, weight, bias[:, None], strict=True):
            masks.append(F.conv3d(one[None], w, b, padding=1))
        return torch.cat(masks)
