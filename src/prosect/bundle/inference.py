"""The configuration of a MONAI bundle: what stock MONAI classes do with a scan, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prosect.models.spec import ModelSpec, Profile
from prosect.networks.vista3d import Architecture

__all__ = ["Contents", "batch_config", "inference_config", "is_official_shape", "network_config"]

Config = dict[str, Any]
OFFICIAL = Architecture()
# official: the last class of the published table that clicks know.
LAST_SUPPORTED = 132
CROP_MARGIN = 10
LARGEST_UINT8 = 255
# A lambda cannot raise by a statement, and a bundle without scripts has only lambdas.
REFUSE_POINTS = (
    "$lambda d: d if d.get('points') is None else (_ for _ in ()).throw(ValueError("
    "'points: this bundle asks for classes only. Give label_prompt, and click with prosect.'))"
)


@dataclass(frozen=True)
class Contents:
    """What of a model goes into a bundle.

    Attributes:
        architecture: The numbers of its network.
        spec: What it was trained with.
        profile: How scans are prepared and swept.
        everything: Classes that are segmented when none is named.
        shown: Those of them that a result may have; the others compete and become background.
        names: Name by index of every class that can be asked for.
        groups: Parts by index of every group.
    """

    architecture: Architecture
    spec: ModelSpec
    profile: Profile
    everything: tuple[int, ...]
    shown: tuple[int, ...]
    names: Mapping[int, str]
    groups: Mapping[int, tuple[int, ...]]

    @property
    def takes_clicks(self) -> bool:
        """Whether MONAI's network has a click head that these weights fit."""
        a = self.architecture
        return a.interactive and a.click_head == "tokens" and not self.spec.automatic_only


def is_official_shape(architecture: Architecture) -> bool:
    """Return whether MONAI has a function that makes this network."""
    return architecture.blocks == OFFICIAL.blocks and architecture.classes == OFFICIAL.classes


def network_config(architecture: Architecture) -> Config:
    """Return how MONAI makes the network."""
    nets = "monai.networks.nets"
    a = architecture
    if is_official_shape(a):
        return {
            "_target_": f"{nets}.vista3d.vista3d132",
            "encoder_embed_dim": a.width,
            "in_channels": a.in_channels,
        }
    encoder = {
        "_target_": f"{nets}.segresnet_ds.SegResNetDS2",
        "in_channels": a.in_channels,
        "blocks_down": list(a.blocks),
        "norm": "instance",
        "out_channels": a.width,
        "init_filters": a.width,
        "dsdepth": 1,
    }
    classes = {
        "_target_": f"{nets}.vista3d.ClassMappingClassify",
        "n_classes": a.classes,
        "feature_size": a.width,
        "use_mlp": True,
    }
    # VISTA3D's constructor asks for a click head; where the weights have none it is never called.
    clicks = {
        "_target_": f"{nets}.vista3d.PointMappingSAM",
        "feature_size": a.width,
        "n_classes": a.classes,
        "last_supported": LAST_SUPPORTED,
    }
    return {
        "_target_": f"{nets}.vista3d.VISTA3D",
        "image_encoder": encoder,
        "class_head": classes,
        "point_head": clicks,
    }


def inference_config(contents: Contents) -> Config:
    """Return `inference.json` for one scan.

    The names of its parts are those that other programs override on their command lines.
    """
    highest = max(contents.shown)
    return {
        "imports": ["$import monai", "$import numpy as np", "$import torch"],
        "bundle_root": ".",
        "metadata": "$monai.bundle.ConfigParser.load_config_file(@bundle_root + '/configs/metadata.json')",
        "image_key": "image",
        "output_dir": "$@bundle_root + '/eval'",
        "output_ext": ".nii.gz",
        "output_dtype": "$np.uint8" if highest <= LARGEST_UINT8 else "$np.uint16",
        "output_postfix": "trans",
        "separate_folder": True,
        "input_dict": {"image": "ct.nii.gz", "label_prompt": None},
        "everything_labels": list(contents.everything),
        "background_labels": sorted(set(contents.everything) - set(contents.shown)),
        "labels_dict": {str(index): name for index, name in sorted(contents.names.items())},
        "subclass": {str(index): list(parts) for index, parts in sorted(contents.groups.items())},
        "resample_spacing": list(contents.spec.spacing_mm),
        "sw_batch_size": 1,
        "patch_size": list(contents.spec.window),
        "amp": False,
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_config(contents.architecture),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms(contents)},
        "dataset": {"_target_": "Dataset", "data": "$[@input_dict]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": inferer(contents.profile),
        "postprocessing": {"_target_": "Compose", "transforms": after()},
        "handlers": handlers(contents.takes_clicks),
        "evaluator": evaluator(),
        "initialize": ["$setattr(torch.backends.cudnn, 'benchmark', True)"],
        "run": ["$@evaluator.run()"],
    }


def batch_config() -> Config:
    """Return `batch_inference.json`, which with `inference.json` runs over a folder."""
    return {
        "imports": ["$import glob", "$import numpy as np", "$import torch"],
        "input_dir": "$@bundle_root + '/input'",
        "input_suffix": "*.nii.gz",
        "input_list": "$sorted(glob.glob(@input_dir + '/' + @input_suffix))",
        "input_dicts": "$[{'image': path, 'label_prompt': @everything_labels} for path in @input_list]",
        "dataset": {"_target_": "Dataset", "data": "@input_dicts", "transform": "@preprocessing"},
    }


def transforms(contents: Contents) -> list[Config]:
    """Return what is done before the network, in the order of the profile."""
    key = "@image_key"
    space = {"_target_": "Spacingd", "keys": key, "pixdim": "@resample_spacing", "mode": "bilinear"}
    orient = {"_target_": "Orientationd", "keys": key, "axcodes": "RAS"}
    crop = {"_target_": "CropForegroundd", "keys": key, "source_key": key, "allow_smaller": True, "margin": CROP_MARGIN}
    scale = scaling(contents.spec)
    geometry: list[Config]
    if contents.profile.name == "bundle":
        geometry = [space, crop, scale, orient]
    else:
        geometry = [orient, space, crop, scale]
    return [
        {"_target_": "Lambda", "func": REFUSE_POINTS},
        {"_target_": "Lambda", "func": "$lambda d: {**d, 'label_prompt': d.get('label_prompt') or @everything_labels}"},
        {"_target_": "LoadImaged", "keys": key, "image_only": True},
        {"_target_": "EnsureChannelFirstd", "keys": key},
        *geometry,
        {
            "_target_": "monai.apps.vista3d.transforms.VistaPreTransformd",
            "keys": key,
            "labels_dict": "@labels_dict",
            "subclass": "@subclass",
        },
        # As a list it would be collated into a list of tensors, which neither the network nor the last step takes.
        {"_target_": "Lambdad", "keys": "label_prompt", "func": "$lambda x: torch.as_tensor(x, dtype=torch.long)"},
        {"_target_": "CastToTyped", "keys": key, "dtype": "$torch.float32"},
    ]


def scaling(spec: ModelSpec) -> Config:
    """Return how intensities become [0, 1]."""
    how = spec.intensity
    bounds = {"b_min": 0.0, "b_max": 1.0, "clip": True}
    if how.kind == "percentile":
        ends = {"lower": how.low, "upper": how.high}
        return {"_target_": "ScaleIntensityRangePercentilesd", "keys": "@image_key", **ends, **bounds}
    ends = {"a_min": how.low, "a_max": how.high}
    return {"_target_": "ScaleIntensityRanged", "keys": "@image_key", **ends, **bounds}


def inferer(profile: Profile) -> str | Config:
    """Return how the network is moved over a scan."""
    sweep = (
        f"monai.inferers.SlidingWindowInferer(roi_size=@patch_size, sw_batch_size=@sw_batch_size, "
        f"overlap={profile.overlap}, mode='{profile.blending}', padding_mode='{profile.padding or 'constant'}')"
    )
    # `transpose`: otherwise classes would lie on the axis of the batch, and windows could not be joined.
    called = "inputs=inputs, network=network, class_vector=class_vector.reshape(-1, 1), transpose=True"
    return f"$lambda inputs, network, class_vector: {sweep}({called})"


def after() -> list[Config]:
    """Return what is done with the logits."""
    invert = {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "@image_key",
        "nearest_interp": True,
        "to_tensor": True,
    }
    # Classes that compete and are not shown become background.
    hide = {
        "_target_": "Lambdad",
        "keys": "pred",
        "func": "$lambda x: torch.where(torch.isin(x, torch.as_tensor(@background_labels, dtype=x.dtype)), 0, x)",
    }
    save = {
        "_target_": "SaveImaged",
        "keys": "pred",
        "resample": False,
        "output_dir": "@output_dir",
        "output_ext": "@output_ext",
        "output_dtype": "@output_dtype",
        "output_postfix": "@output_postfix",
        "separate_folder": "@separate_folder",
    }
    post = {"_target_": "monai.apps.vista3d.transforms.VistaPostTransformd", "keys": "pred"}
    return [{"_target_": "ToDeviced", "keys": "pred", "device": "cpu"}, post, invert, hide, save]


def handlers(is_whole: bool) -> list[Config]:
    """Return what loads the weights; where they have no click head, MONAI's keeps random numbers that nobody reads."""
    checkpoint = {
        "_target_": "CheckpointLoader",
        "load_path": "$@bundle_root + '/models/model.pt'",
        "load_dict": {"model": "@network"},
        "map_location": "@device",
        "strict": is_whole,
    }
    return [checkpoint, {"_target_": "StatsHandler", "iteration_log": False}]


def evaluator() -> Config:
    """Return what runs everything."""
    prompts = {
        "_target_": "monai.engines.PrepareBatchExtraInput",
        "extra_keys": {"class_vector": "label_prompt"},
    }
    return {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "prepare_batch": prompts,
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
        "amp": "@amp",
    }
