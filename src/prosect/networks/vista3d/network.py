"""VISTA3D: one encoder, an automatic branch prompted by classes and an interactive branch prompted by clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from prosect.networks.vista3d.class_head import ClassHead
from prosect.networks.vista3d.map_head import MapHead
from prosect.networks.vista3d.point_head import PointHead
from prosect.networks.vista3d.segresnet import ImageEncoder

__all__ = ["Architecture", "ClickHead", "Vista3D", "vista3d"]

ClickHead = Literal["tokens", "maps"]


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
        click_head: How the click-prompted branch takes clicks: as `tokens` that attend to the image, as published, or
            as `maps` beside its features and those of the automatic branch, which a narrow network learns better.
    """

    width: int = 48
    blocks: tuple[int, ...] = (1, 2, 2, 4, 4)
    classes: int = 512
    in_channels: int = 1
    automatic: bool = True
    interactive: bool = True
    click_head: ClickHead = "tokens"

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
            self.point_head = (
                PointHead(a.width, a.classes)
                if a.click_head == "tokens"
                else MapHead((1 + a.automatic) * a.width, a.width)
            )

    def automatic_features(self, image: Tensor) -> Tensor:
        """Return features (b c i j k) of patches (b 1 i j k); class logits are linear in them.

        Raises:
            ValueError: A patch size is not a multiple of `architecture.divisor`.
        """
        self._check(image)
        return self._automatic(self.image_encoder.encoder(image))

    def class_vectors(self, classes: Sequence[int] | Tensor) -> Tensor:
        """Return one vector (q c) per class index; its dot product with the features is the class logit."""
        index = torch.as_tensor(classes, device=self.class_head.class_embeddings.weight.device, dtype=torch.long)
        return self.class_head.vectors(index)

    def forward(self, image: Tensor, classes: Sequence[int] | Tensor) -> Tensor:
        """Return class logits (b q i j k) of patches (b 1 i j k)."""
        self._check(image)
        return self.class_logits(self.image_encoder.encoder(image), classes)

    def class_logits(self, pyramid: Sequence[Tensor], classes: Sequence[int] | Tensor) -> Tensor:
        """Return class logits (b q i j k) of patches that are encoded already."""
        return torch.einsum("qc,bcijk->bqijk", self.class_vectors(classes), self._automatic(pyramid))

    def interactive_features(self, image: Tensor) -> Tensor:
        """Return what every click on this patch (1 1 i j k) shares, which is the click head's own affair."""
        self._check(image)
        return self.click_features(self.image_encoder.encoder(image))

    def click_features(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return what `interactive_features` does, of a patch (1 1 i j k) that is encoded already."""
        features: Tensor = self.image_encoder.up_layers(pyramid)
        if self.architecture.click_head == "maps" and self.architecture.automatic:
            with torch.no_grad():  # clicks use what the automatic branch knows, and do not teach it
                known = self._automatic(pyramid)
            features = torch.cat([features, known], dim=1)
        out: Tensor = self.point_head.downsample(features)
        return out

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return what can learn apart, by name: the `encoder`, and what is above it in each branch that there is."""
        image = self.image_encoder
        found: dict[str, list[nn.Module]] = {"encoder": [image.encoder]}
        if self.architecture.automatic:
            found["automatic"] = [image.up_layers_auto, self.class_head]
        if self.architecture.interactive:
            found["interactive"] = [image.up_layers, self.point_head]
        return found

    def class_vector_modules(self) -> list[nn.Module]:
        """Return what makes the vector of each class: within the `automatic` part, and able to learn without it."""
        return [self.class_head.class_embeddings, self.class_head.mlp]

    @property
    def sequential(self) -> bool:
        """Whether an answer to clicks builds on the answer before the last of them."""
        return self.architecture.click_head == "maps"

    @property
    def coarsest_trained(self) -> int:
        """Voxels of a patch in one voxel of the coarsest map over which convolutions with stride 1 learn."""
        image, divisor = self.image_encoder, self.architecture.divisor
        strides: dict[nn.Module, int] = {image.encoder: divisor}
        if self.architecture.automatic:
            strides[image.up_layers_auto] = divisor // 2
        if self.architecture.interactive:
            strides[image.up_layers] = divisor // 2
            strides[self.point_head] = self.point_head.stride
        return max((s for part, s in strides.items() if any(p.requires_grad for p in part.parameters())), default=1)

    def point_logits(
        self, features: Tensor, points: Tensor, labels: Tensor, zero_shot: Tensor, previous: Tensor | None = None
    ) -> Tensor:
        """Return mask logits (q 1 i j k); see `PointHead.forward` and `MapHead.forward`, which uses `previous`."""
        asked = (features, points, labels, zero_shot)
        out: Tensor
        if self.sequential:
            out = self.point_head(*asked, previous)
        else:
            out = self.point_head(*asked)
        return out

    def _automatic(self, pyramid: Sequence[Tensor]) -> Tensor:
        out: Tensor = self.class_head.image_post_mapping(self.image_encoder.up_layers_auto(pyramid))
        return out

    def _check(self, image: Tensor) -> None:
        divisor = self.architecture.divisor
        if any(n % divisor for n in image.shape[2:]):
            raise ValueError(f"The patch {tuple(image.shape[2:])} is not a multiple of {divisor} on every axis.")


def vista3d(architecture: Architecture | None = None) -> Vista3D:
    """Return an untrained VISTA3D; with no argument, the published size (217,964,982 parameters)."""
    return Vista3D(architecture or Architecture())
