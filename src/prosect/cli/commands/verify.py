"""`prosect verify`: whether a result is what its report says, by its hashes and by making it once more."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import prosect
from prosect import results
from prosect.cli.commands.segment import scan
from prosect.cli.console import open_console
from prosect.cli.progress import counting
from prosect.cli.warnings_kept import keep_warnings
from prosect.errors import CheckpointError, FormatError
from prosect.io.paths import file_name
from prosect.results import Parameters, checking
from prosect.results.report import load
from prosect.volume import Volume

__all__ = ["run"]

DIFFERENT = 3


def run(args: argparse.Namespace) -> int:
    """Check one result; return 0 where it is what its report says, 3 where anything differs."""
    place = checking.find_report(args.out)
    report = load(place)
    files = checking.output_files(report, args.outputs or place.parent)
    checking.refuse_stranger(args.out, place, files)
    problems = checking.changed_files(files)
    say(args, f"outputs: {len(files) - len(problems)} of {len(files)} as recorded")
    notes: list[str] = []
    if not args.hashes_only:
        again, notes = remade(args, report, place, files)
        problems += again
    for line in (*problems, *notes):
        say(args, line)
    equal = "by their hashes" if args.hashes_only else "and made again byte for byte"
    print(f"not verified: {problems[0]}" if problems else f"verified: {len(files)} files, {equal}")
    return DIFFERENT if problems else 0


def remade(
    args: argparse.Namespace, report: Mapping[str, Any], place: Path, files: Sequence[tuple[Path, str]]
) -> tuple[list[str], list[str]]:
    """Return what differs when the result is made once more, and what may explain it."""
    asked = checking.parameters_of(report)
    with keep_warnings(show=False):
        volume = scan(input_of(args, report, place, asked), asked.series, asked.volume, asked.phantom)
    if volume.source.sha256 != report["input"]["sha256"]:
        return [f"input changed: {volume.source.name} has other bytes than when it was segmented"], []
    say(args, "input: as recorded")
    model = load_model(args, asked, report)
    if model.spec.weights_sha256 != report["model"]["weights_sha256"]:
        now, then = str(model.spec.weights_sha256)[:12], str(report["model"]["weights_sha256"])[:12]
        return [f"weights changed: the sha256 began with {then}, now with {now}"], []
    if model.spec.name != report["model"].get("name"):
        return [f"model changed: the report names {report['model'].get('name')!s:.80}, not {model.spec.name}"], []
    say(args, "weights: as recorded")
    environment = importlib.import_module("prosect.results.environment")
    notes = checking.changed_versions(report, environment.libraries())
    notes += changed_machine(report, model, environment.threads())
    with threads_of(report, environment), TemporaryDirectory() as folder:
        made = make(args, report, asked, model, volume, Path(folder))
        differing = checking.unequal(files, made)
        problems = [f"result differs: {old.name}{checking.voxels_apart(old, new)}" for old, new in differing]
    say(args, f"made again: {len(files) - len(problems)} of {len(files)} equal byte for byte")
    return problems, notes


def make(
    args: argparse.Namespace,
    report: Mapping[str, Any],
    asked: Parameters,
    model: prosect.Finds,
    volume: Volume,
    folder: Path,
) -> tuple[Path, ...]:
    """Make the recorded files in another folder and return them in the recorded order."""
    request = checking.request_of(report, folder)
    classes = None if asked.classes is None else list(asked.classes)
    with keep_warnings(show=False), counting("segmenting", args.quiet) as watch:
        labels = model.segment(volume, classes=classes, overlap=asked.overlap, watch=watch)
    written = results.write(labels, volume, request, case=str(report.get("case", "")))
    return tuple(path for path in written if path != request.report_file)


def input_of(args: argparse.Namespace, report: Mapping[str, Any], place: Path, asked: Parameters) -> Path | None:
    """Return where the input is: as given, else under its recorded name beside the report.

    Raises:
        FormatError: It is not there (`INPUT_NOT_FOUND`).
    """
    if asked.phantom is not None:
        return None
    path = args.input if args.input is not None else place.parent / Path(str(report["input"]["name"])).name
    if not path.exists():
        raise FormatError(
            f"{file_name(path)}: the input is not there. Say where it is with --input, or check the files alone with "
            "--hashes-only.",
            code="INPUT_NOT_FOUND",
        )
    return Path(path)


def load_model(args: argparse.Namespace, asked: Parameters, report: Mapping[str, Any]) -> prosect.Finds:
    """Return the model that was used.

    Raises:
        CheckpointError: It came from a file of weights that was not given (`MODEL_NOT_INSTALLED`).
    """
    if asked.weights is not None and args.weights is None:
        raise CheckpointError(
            f"The result was made with a file of weights, '{file_name(asked.weights)}'. Give it with -w, or check the "
            "files alone with --hashes-only.",
            code="MODEL_NOT_INSTALLED",
        )
    device = args.device or str(report["model"]["device"] or asked.device)
    return prosect.require_finds(prosect.load(asked.model, weights=args.weights, device=device, profile=asked.profile))


def changed_machine(report: Mapping[str, Any], model: prosect.Finds, threads: int) -> list[str]:
    """Return a sentence where device or number of threads differ."""
    then, now = report["model"], str(model.device)
    found = [] if then["device"] in (None, now) else [f"device differs: was {then['device']}, is {now}"]
    if then["threads"] not in (None, threads):
        found.append(f"threads differ: were {then['threads']}, are {threads} here; made again with {then['threads']}")
    return found


@contextmanager
def threads_of(report: Mapping[str, Any], environment: Any) -> Iterator[None]:
    """Compute with the recorded number of threads inside the block: sums depend on how they are split."""
    before, then = environment.threads(), report["model"]["threads"]
    if isinstance(then, int) and 0 < then <= 1024:
        environment.set_threads(then)
    try:
        yield
    finally:
        environment.set_threads(before)


def say(args: argparse.Namespace, line: str) -> None:
    """Print a line unless only the verdict is wanted."""
    if not args.quiet:
        open_console().print(line)
