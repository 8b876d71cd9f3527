"""VISTA3D: one encoder, an automatic branch prompted by classes and an interactive branch prompted by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prosect.networks.vista3d.class_head import ClassHead
from prosect.networks.vista3d.point_head import PointHead
from prosect.networks.vista3d.segresnet import ImageEncoder

__all__ = ["Architecture", "Vista3D", "vista3d"]


@dataclass(frozen=True)
class Architecture:
    """The numbers that make one VISTA3D-shaped network; the defaults are the published model's.

    Attributes:
        width: Channels at full resolution (official code: 48; the paper's 256 is not what was released).
        blocks: Residual blocks per encoder level.
        classes: Rows of the class embedding table.
        in_channels: Image channels.
        automatic: Whether the class-prompted branch exists.
        interactive: Whether the click-prompted branch exists.
        point_heads: Attention heads of the click-prompted branch. Each needs several frequencies of the position code
            to tell places apart, so a narrow network needs few.
        point_downsample: Narrowing of its attention between clicks and image.
    """

    width: int = 48
    blocks: tuple[int, ...] = (1, 2, 2, 4, 4)
    classes: int = 512
    in_channels: int = 1
    automatic: bool = True
    interactive: bool = True
    point_heads: int = 4
    point_downsample: int = 2

    @property
    def divisor(self) -> int:
        """Patch sizes must be multiples of this."""
        return int(2 ** (len(self.blocks) - 1))


class Vista3D(nn.Module):
    """The network. See `Architecture` for its parameters."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        self.image_encoder = ImageEncoder(a.in_channels, a.width, a.blocks, a.automatic, a.interactive)
        if a.automatic:
            self.class_head = ClassHead(a.width, a.classes)
        if a.interactive:
            self.point_head = PointHead(a.width, a.classes, a.point_heads, a.point_downsample)

    def automatic_features(self, image: Tensor) -> Tensor:
        """Return features (b c i j k) of patches (b 1 i j k); class logits are linear in them.

        Raises:
            ValueError: A patch size is not a multiple of `architecture.divisor`.
        """
        self._check(image)
        decoded = self.image_encoder.up_layers_auto(self.image_encoder.encoder(image))
        out: Tensor = self.class_head.image_post_mapping(decoded)
        return out

    def class_vectors(self, classes: Sequence[int] | Tensor) -> Tensor:
        """Return one vector (q c) per class index; its dot product with the features is the class logit."""
        index = torch.as_tensor(classes, device=self.class_head.class_embeddings.weight.device, dtype=torch.long)
        return self.class_head.vectors(index)

    def forward(self, image: Tensor, classes: Sequence[int] | Tensor) -> Tensor:
        """Return class logits (b q i j k) of patches (b 1 i j k)."""
        return torch.einsum("qc,bcijk->bqijk", self.class_vectors(classes), self.automatic_features(image))

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on this patch (1 1 i j k) shares: features (1 c i/2 j/2 k/2)."""
        self._check(image)
        return self.point_head.downsample(self.image_encoder.up_layers(self.image_encoder.encoder(image)))

    def point_logits(self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
        """Return mask logits (q 1 i j k); see `PointHead.forward`."""
        out: Tensor = self.point_head(features, points, labels, zero_shot)
        return out

    def _check(self, image: Tensor) -> None:
        divisor = self.architecture.divisor
        if any(n % divisor for n in image.shape[2:]):
            raise ValueError(f"The patch {tuple(image.shape[2:])} is not a multiple of {divisor} on every axis.")


def vista3d(architecture: Architecture | None = None) -> Vista3D:
    """Return an untrained VISTA3D; with no argument, the published size (217,964,982 parameters)."""
    return Vista3D(architecture or Architecture())
