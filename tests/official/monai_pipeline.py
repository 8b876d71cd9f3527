"""An independent run of the official automatic pipeline from MONAI's own parts, on one NIfTI file.

Follows the effective behaviour of the official configurations; nothing of prosect is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.apps.vista3d.transforms import VistaPostTransformd
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInfererAdapt
from monai.networks.nets.vista3d import vista3d132
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)

HU = {"a_min": -963.8247715525971, "a_max": 1053.678477684517, "b_min": 0.0, "b_max": 1.0, "clip": True}


def network(seed: int, width: int) -> torch.nn.Module:
    """Return the official network with random weights in evaluation mode."""
    torch.manual_seed(seed)
    return vista3d132(encoder_embed_dim=width, in_channels=1).eval()


def preprocessing(profile: str, spacing: tuple[float, float, float]) -> Compose:
    """Return the official steps in their official order."""
    keys = ["image"]
    load = [LoadImaged(keys=keys, image_only=True), EnsureChannelFirstd(keys=keys)]
    scale = ScaleIntensityRanged(keys=keys, **HU)
    orient = Orientationd(keys=keys, axcodes="RAS")
    if profile == "bundle":
        crop = CropForegroundd(keys=keys, source_key="image", allow_smaller=True, margin=10)
        return Compose([*load, Spacingd(keys=keys, pixdim=spacing, mode="bilinear"), crop, scale, orient])
    return Compose([*load, scale, orient, Spacingd(keys=keys, pixdim=spacing, mode="bilinear", align_corners=True)])


def run(
    net: torch.nn.Module,
    path: Path,
    classes: list[int],
    profile: str,
    spacing: tuple[float, float, float],
    patch: tuple[int, int, int],
) -> np.ndarray[Any, Any]:
    """Return the official label array on the scan's voxels as stored."""
    steps = preprocessing(profile, spacing)
    data = steps({"image": str(path)})
    settings = (
        {"overlap": 0.25, "mode": "constant", "padding_mode": "replicate"}
        if profile == "bundle"
        else {"overlap": 0.625, "mode": "gaussian"}
    )
    inferer = SlidingWindowInfererAdapt(roi_size=patch, sw_batch_size=1, **settings)
    with torch.no_grad():
        data["pred"] = inferer(
            inputs=data["image"][None],
            network=net,
            transpose=True,
            class_vector=torch.tensor(classes)[:, None],
            point_coords=None,
            point_labels=None,
            labels=None,
            label_set=None,
            prev_mask=None,
        )[0]
    data["pred"] = MetaTensor(data["pred"])
    data["label_prompt"] = torch.tensor(classes)
    data = VistaPostTransformd(keys="pred")(data)
    invert = Invertd(keys="pred", transform=steps, orig_keys="image", nearest_interp=True, to_tensor=True)
    return invert(data)["pred"][0].numpy()
