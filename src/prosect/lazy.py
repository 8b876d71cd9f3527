"""Modules that are loaded on first use, because they are heavy or need what may not be installed.

Each stands in `MODULES` with the reason; nothing else in the package imports late, except the command line, which loads
the one command that was typed. A file that uses one says so where imports stand:

    if TYPE_CHECKING:
        from prosect.results import environment
    else:
        environment = lazy_module("prosect.results.environment")

so that types are checked and imports are read as everywhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["MODULES", "lazy_module", "lazy_names", "load_module"]

MODULES: dict[str, str] = {
    "psutil": "`doctor` must say where it is missing",
    "torch": "seconds to load; `doctor` must say where it is missing",
    "prosect.cards": "brings a plotting library; stands above what it shows",
    "prosect.checkpoints.keeping": "brings torch",
    "prosect.cohort.columns": "needs the extra `cohort`",
    "prosect.cohort.bucket": "needs the extra `s3`",
    "prosect.cohort.objects": "needs the extra `s3`",
    "prosect.cohort.object_place": "needs the extra `s3`",
    "prosect.cohort.ray_actors": "needs the extra `ray`",
    "prosect.cli.commands.cohort_open": "needs the extra `server`",
    "prosect.cli.commands.evaluate_fewshot": "brings everything that trains",
    "prosect.cli.commands.segment_folder": "brings what reads DICOM headers",
    "prosect.radiomics": "brings what makes surfaces",
    "prosect.io.dicom.pixels": "brings decoders",
    "prosect.io.dicom.label_object": "brings pydicom",
    "prosect.io.dicom.rtstruct": "brings pydicom and what traces outlines",
    "prosect.io.dicom.seg": "needs the extra `dicom`",
    "prosect.io.dicom.series": "brings pydicom",
    "prosect.io.dicom.sr": "needs the extra `dicom`",
    "prosect.io.metaimage": "one format of many",
    "prosect.io.mgh": "one format of many",
    "prosect.io.nifti": "brings nibabel",
    "prosect.io.nrrd": "one format of many",
    "prosect.io.pair": "brings nibabel",
    "prosect.io.reading": "stands above the scan that it returns",
    "prosect.io.zip_member": "brings nibabel",
    "prosect.measure": "stands above the labels that it measures",
    "prosect.models.protocols": "brings torch",
    "prosect.networks.vista3d.openvino_branches": "needs the extra `openvino`",
    "prosect.phantom": "brings what draws people",
    "prosect.preview": "brings a plotting library",
    "prosect.results.environment": "asks torch",
    "prosect.training.augment_official": "needs the extra `training`",
    "prosect.training.tensorboard": "needs the extra `training`",
}


def load_module(name: str) -> ModuleType:
    """Return a module of `MODULES`.

    Raises:
        ImportError: What it needs is not installed.
    """
    if name not in MODULES:
        raise KeyError(f"{name} is not in the table of modules that are loaded late (prosect.lazy)")
    return importlib.import_module(name)


class LazyModule(ModuleType):
    """Stands for a module, and loads it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(load_module(self.__name__), name)


def lazy_module(name: str) -> ModuleType:
    """Return what stands for a module of `MODULES`."""
    if name not in MODULES:
        raise KeyError(f"{name} is not in the table of modules that are loaded late (prosect.lazy)")
    return LazyModule(name)


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose public names are loaded on first use.

    Args:
        package: Its name.
        homes: The module of each public name.
    """

    def get(name: str) -> Any:
        """Return a public name."""
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(homes[name]), name)

    return get
