"""Make synthetic people with known labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prosect.jobs.job import Job
from prosect.phantom.dataset import WrittenCase, write_dataset
from prosect.phantom.people import Kind

__all__ = ["PhantomJob"]


@dataclass(frozen=True)
class PhantomJob(Job):
    """Write a folder of synthetic people, their labels and a list of them; a case that is there whole is kept.

    Attributes:
        output: The folder.
        count: How many cases.
        person: What is scanned.
        seed: Of the set.
        spacing_mm: Voxel size to right, anterior and superior; drawn for every case by default.
        lesions: Probability of each of up to three lesions in a torso.
        overwrite: Make cases again that are there.
    """

    kind: ClassVar[str] = "phantom"

    output: Path
    count: int = 1
    person: Kind = "torso"
    seed: int = 0
    spacing_mm: tuple[float, float, float] | None = None
    lesions: float = 0.3
    overwrite: bool = False

    def run(self, *, on_case: Callable[[WrittenCase], None] | None = None) -> Path:
        """Write the cases and return the list of them.

        Args:
            on_case: Told of every case.

        Raises:
            OutputError: The folder holds a list of other settings (`OUTPUT_EXISTS`), or cannot be written.
            ResourceError: The disk is full.
        """
        return write_dataset(
            self.output,
            self.count,
            kind=self.person,
            seed=self.seed,
            spacing_mm=self.spacing_mm,
            lesions=self.lesions,
            overwrite=self.overwrite,
            on_case=on_case,
        )
