"""Cut one scan into supervoxels, for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prosect import results, supervoxels
from prosect.errors import FormatError
from prosect.io.formats import WRITTEN_ENDINGS
from prosect.jobs.inputs import ScanInput
from prosect.jobs.job import Job
from prosect.labelmap import LabelMap
from prosect.progress import Watch
from prosect.results import Request
from prosect.volume import Volume

__all__ = ["Supervoxels", "SupervoxelsJob"]


@dataclass(frozen=True, eq=False)
class Supervoxels:
    """What came of cutting a scan.

    Attributes:
        labels: The supervoxels, on the scan's grid.
        files: What was written.
    """

    labels: LabelMap
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SupervoxelsJob(Job):
    """Cut one scan into supervoxels, and write them.

    Attributes:
        input: The scan.
        output: A label file; None writes nothing.
        encoder: What the cut follows; see `load_encoder`.
        weights: A weights file of that encoder; None for the installed ones.
        segments: About how many supervoxels.
        device: As in `prosect.load`.
        preview: Draw a picture beside the output.
        overwrite: Whether a result that exists may be replaced.
    """

    kind: ClassVar[str] = "supervoxels"

    input: ScanInput
    output: Path | None = None
    encoder: str = "features"
    weights: Path | None = None
    segments: int = 100
    device: str = "auto"
    preview: bool = False
    overwrite: bool = False

    @property
    def request(self) -> Request | None:
        """What is written.

        Raises:
            FormatError: The output is no label file (`OUTPUT_FORMAT_UNKNOWN`).
        """
        if self.output is None:
            return None
        request = results.request_for(self.output, preview=self.preview)
        if request.is_folder:
            endings = ", ".join(WRITTEN_ENDINGS)
            raise FormatError(
                f"{self.output}: supervoxels are one label file; give a name that ends in {endings}.",
                code="OUTPUT_FORMAT_UNKNOWN",
            )
        return request

    def refuse(self, volume: Volume | None = None) -> None:
        """Refuse a place that exists or cannot be written, before the work.

        Args:
            volume: The scan, once it is read: then disk space and format are checked against it.

        Raises:
            FormatError: See `request` and `results.refuse`.
            ResourceError: Too little disk space.
        """
        request = self.request
        if request is not None:
            results.refuse(request, self.input.path, self.overwrite, None if volume is None else volume.grid)

    def plan(self) -> str:
        """Return in words what grid and memory the job needs; nothing is written, and weights may be missing.

        Raises:
            ProsectError: What `run` would refuse, but for weights that are not installed.
        """
        self.refuse()
        volume = self.input.read()
        self.refuse(volume)
        encoder = supervoxels.planned_encoder(self.encoder, self.weights, self.device)
        return str(supervoxels.plan(volume, encoder))

    def run(self, *, watch: Watch | None = None) -> Supervoxels:
        """Cut the scan and write the supervoxels; what can be refused is refused before the encoder is loaded.

        Args:
            watch: Told of each slice or window; what it raises ends the run, and nothing is written.

        Raises:
            ProsectError: See `refuse`, `ScanInput.read`, `supervoxels.load_encoder` and `supervoxels.generate`.
        """
        self.refuse()
        volume = self.input.read()
        self.refuse(volume)
        generate = supervoxels.generate  # refused here where scikit-image is missing, before anything large is loaded
        encoder = supervoxels.load_encoder(self.encoder, self.weights, self.device)
        labels = generate(volume, encoder, self.segments, watch=watch)
        request = self.request
        files = () if request is None else tuple(results.write(labels, volume, request))
        return Supervoxels(labels, files)
