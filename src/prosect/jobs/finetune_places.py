"""Where a finetuning writes, and what is refused of it before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from prosect.errors import FormatError, RecipeError
from prosect.io.atomic import probe
from prosect.io.paths import file_name

__all__ = ["refuse_places", "work_of"]

SUFFIX = ".safetensors"
NEED_BYTES = 64 << 20


def work_of(output: Path, work: Path | None) -> Path:
    """Return the folder of prepared scans and states: the one that is named, or one beside the output."""
    return work or output.with_suffix(".work")


def refuse_places(output: Path, overwrite: bool, resume: bool, work: Path | None) -> None:
    """Refuse an output that cannot be.

    Args:
        output: The weights.
        overwrite: Whether weights that exist may be replaced.
        resume: Whether a training that was stopped goes on, which replaces them, too.
        work: The work folder, where one is named.

    Raises:
        FormatError: It has another ending (`OUTPUT_FORMAT_UNKNOWN`), exists (`OUTPUT_EXISTS`) or cannot be written
            (`OUTPUT_UNWRITABLE`).
        RecipeError: There is nothing to go on with (`RESUME_MISSING`).
        ResourceError: Too little disk space (`DISK_FULL`).
    """
    if output.suffix.lower() != SUFFIX:
        raise FormatError(f"{output}: weights are written as {SUFFIX}.", code="OUTPUT_FORMAT_UNKNOWN")
    folder = work_of(output, work)
    if resume and not folder.is_dir():
        raise RecipeError(
            f"{file_name(folder)}: there is no such work folder, so there is nothing to go on with. Leave --continue "
            "out to begin, or say where the folder is: --work DIR.",
            code="RESUME_MISSING",
        )
    if output.exists() and not (overwrite or resume):
        raise FormatError(
            f"{output} exists; give --overwrite to replace it, or --continue to go on with a training that was "
            "stopped.",
            code="OUTPUT_EXISTS",
        )
    probe(output, NEED_BYTES)
