"""SAM-Med3D: an image encoder over a crop, a prompt encoder for clicks and the previous answer, and a mask decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prosect.networks.sam_med3d.image_encoder import ImageEncoder, RelativePositions
from prosect.networks.sam_med3d.mask_decoder import MaskDecoder
from prosect.networks.sam_med3d.prompt_encoder import PromptEncoder

__all__ = ["BUILDS", "Architecture", "SamMed3D", "sam_med3d"]


@dataclass(frozen=True)
class Architecture:
    """The numbers that make one SAM-Med3D-shaped network; the defaults are those of every published checkpoint.

    Attributes:
        crop: Voxels of the training crop along each axis.
        patch: Voxels of a token along each axis.
        width: Channels of the encoder.
        depth: Blocks of the encoder.
        heads: Attention heads of the encoder.
        global_blocks: Blocks that attend over the whole grid.
        window: Tokens of a window along each axis, for the other blocks.
        embedding: Channels of features and prompt tokens; a multiple of 48.
        decoder_hidden: Width of the decoder's MLP.
        box_embeddings: Whether the weights carry embeddings of a box's corners.
        positions: `official`, or `fixed` for training from scratch; see `ImageEncoder` and `PromptEncoder`.

    Raises:
        ValueError: The numbers do not go together.
    """

    crop: int = 128
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    window: int = 14
    embedding: int = 384
    decoder_hidden: int = 2048
    box_embeddings: bool = False
    positions: RelativePositions = "official"

    def __post_init__(self) -> None:
        for name, number, divisor in (
            ("crop", self.crop, self.patch),
            ("width", self.width, self.heads),
            ("embedding", self.embedding, 48),
        ):
            if number % divisor:
                raise ValueError(f"The {name} {number} is not a multiple of {divisor}.")

    @property
    def grid(self) -> int:
        """Tokens along each axis of the crop."""
        return self.crop // self.patch


# The official code's registry, and one to train on little hardware: 3.9 million parameters, whose answer has a voxel
# for every two of the crop. Only `vit_b_ori` was ever published with weights.
BUILDS: Mapping[str, Architecture] = MappingProxyType(
    {
        "vit_b_ori": Architecture(),
        "vit_b": Architecture(crop=256, width=384),
        "vit_l": Architecture(crop=256, width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
        "vit_h": Architecture(crop=256, width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
        "small": Architecture(
            crop=96, patch=8, width=192, depth=6, heads=6, global_blocks=(1, 3, 5), window=6, embedding=96,
            decoder_hidden=384, positions="fixed",
        ),
    }
)  # fmt: skip


class SamMed3D(nn.Module):
    """The network. See `Architecture` for its parameters."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        self.image_encoder = ImageEncoder(
            1, a.patch, a.grid, a.width, a.depth, a.heads, a.global_blocks, a.window, a.embedding, a.positions
        )
        self.prompt_encoder = PromptEncoder(a.embedding, a.box_embeddings, a.positions)
        self.mask_decoder = MaskDecoder(a.embedding, a.decoder_hidden)

    def embed(self, image: Tensor) -> Tensor:
        """Return what every click on these crops (b 1 i j k) shares: features (b e i/p j/p k/p).

        Raises:
            ValueError: See `ImageEncoder.forward`.
        """
        out: Tensor = self.image_encoder(image)
        return out

    def blank(self, features: Tensor, objects: int = 1) -> Tensor:
        """Return the previous answer (q 1 4i 4j 4k) of a first click: logits that are all zero."""
        return features.new_zeros(objects, 1, *(4 * n for n in features.shape[2:]), dtype=torch.float32)

    def refine(self, features: Tensor, points: Tensor | None, labels: Tensor | None, previous: Tensor) -> Tensor:
        """Return the answer (q 1 4i 4j 4k) to clicks, in logits at low resolution.

        The published weights were trained with the newest click alone, beside the previous answer.

        Args:
            features: Of the crop (1 e i j k), or one per object.
            points: Clicks (q n 3) in voxels of the crop; None asks for the previous answer to be improved unasked, as
                one round of the training does.
            labels: Their signs (q n): 1 or 0.
            previous: The last answer (q 1 4i 4j 4k), or `blank`.
        """
        grid = _three(features.shape[2:])
        dense = self.prompt_encoder.embed_mask(previous, grid)
        if points is None or labels is None:
            sparse = dense.new_zeros(previous.shape[0], 0, self.architecture.embedding)
        else:
            sparse = self.prompt_encoder.embed_points(points, labels, _three(self.architecture.patch * n for n in grid))
        masks, _ = self.mask_decoder(features, self.prompt_encoder.grid(grid), sparse, dense)
        out: Tensor = masks.float()
        return out

    def upsample(self, low: Tensor) -> Tensor:
        """Return logits (q 1 i j k) on the crop's voxels of an answer at low resolution."""
        factor = self.architecture.patch / 4
        size = [round(n * factor) for n in low.shape[2:]]
        return F.interpolate(low, size=size, mode="trilinear", align_corners=False)

    def forward(self, image: Tensor, points: Tensor, labels: Tensor) -> Tensor:
        """Return logits (q 1 i j k) of a first click; `image` (1 1 i j k), `points` (q n 3), `labels` (q n)."""
        features = self.embed(image)
        return self.upsample(self.refine(features, points, labels, self.blank(features, points.shape[0])))


def _three(numbers: Iterable[int]) -> tuple[int, int, int]:
    """Return three whole numbers as such."""
    i, j, k = (int(n) for n in numbers)
    return i, j, k


def sam_med3d(architecture: Architecture | str = "vit_b_ori") -> SamMed3D:
    """Return an untrained SAM-Med3D: the published size (100,509,232 parameters), another of `BUILDS`, or any.

    Raises:
        ValueError: There is no build of that name.
    """
    if isinstance(architecture, str):
        if architecture not in BUILDS:
            raise ValueError(f"There is no build '{architecture}'; there are {', '.join(BUILDS)}.")
        architecture = BUILDS[architecture]
    return SamMed3D(architecture)
