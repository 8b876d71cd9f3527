"""What the typed words alone show to be wrong, refused before a command loads what it needs: seconds of torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from prosect.checkpoints import catalog
from prosect.cli.choices import classes_of, scan_of
from prosect.cli.learning import settings_of
from prosect.data.mapping_pairs import parse_pair
from prosect.errors import CheckpointError, FormatError, UsageError
from prosect.io.atomic import probe
from prosect.io.paths import file_name
from prosect.jobs.finetune_places import refuse_places
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.supervoxels import SupervoxelsJob
from prosect.training.recipe_checks import refuse_unknown_stages
from prosect.training.recipe_file import read_recipe

__all__ = ["refuse"]

# Commands whose `-m` and `-w` name a model that segments.
ASKING = ("segment", "click", "serve", "view", "evaluate", "finetune", "export", "pseudo-label")


def refuse(args: argparse.Namespace) -> None:
    """Refuse what a command would refuse in the same words once it is loaded.

    Raises:
        ProsectError: A model, a file, a structure or a place cannot be used.
    """
    if args.command in ASKING:
        refuse_model(args)
    check = CHECKS.get(args.command)
    if check is not None:
        check(args)


def refuse_model(args: argparse.Namespace) -> None:
    """Refuse a model that nobody knows, and weights that are not there.

    Raises:
        CheckpointError: `MODEL_UNKNOWN`, `MODEL_NOT_INSTALLED`, or `MODEL_MISSING` for a file.
    """
    if is_asked_nothing(args):
        return
    if args.weights is not None:
        require_weights(args.weights)
        catalog.segmenter(args.model)
    elif args.model is not None:
        for entry in catalog.members(args.model):
            catalog.locate(entry.name)


def require_weights(path: Path | None) -> None:
    """Refuse a weights file that is not there, where one is named.

    Raises:
        CheckpointError: `MODEL_MISSING`.
    """
    if path is not None and not path.exists():
        raise CheckpointError(
            f"{path.name}: the weights cannot be read (there is no such file). Check the path.", code="MODEL_MISSING"
        )


def is_asked_nothing(args: argparse.Namespace) -> bool:
    """Return whether no model is needed: others have answered, or structures are only listed."""
    listing = getattr(args, "list_tasks", False) or getattr(args, "list_classes", None) is not None
    answered = getattr(args, "baseline", None) or getattr(args, "from_totalsegmentator", None)
    return listing or answered is not None


def refuse_finetune(args: argparse.Namespace) -> None:
    """Refuse places, numbers and pairs of `finetune`.

    Raises:
        ProsectError: See `refuse_places` and `settings_of`, or a pair is none (`MAPPING_INVALID`).
    """
    refuse_places(args.output, args.overwrite, args.resume, args.work)
    settings_of(args)
    for text in args.classes:
        parse_pair(text)
    for folder in (args.images, args.labels):
        require_place(folder, is_folder=True)


def refuse_evaluate(args: argparse.Namespace) -> None:
    """Refuse a list that is not there, and names that the model or its weights cannot find.

    Raises:
        ProsectError: A place or a name cannot be used.
    """
    require_place(args.list)
    if args.protocol == "fewshot":
        settings_of(args)
    classes = classes_of(args)
    if args.protocol == "auto" and classes is not None:
        ModelChoice(args.model, args.weights).refuse_unknown(classes)


def refuse_train(args: argparse.Namespace) -> None:
    """Refuse a recipe that is none or whose lists are not there, and a work folder that cannot be written.

    Raises:
        FormatError: `INPUT_NOT_FOUND` or `OUTPUT_UNWRITABLE`.
        RecipeError: `RECIPE_INVALID`.
    """
    require_place(args.recipe)
    recipe = read_recipe(args.recipe)
    refuse_unknown_stages(recipe, args.stage)
    for data in recipe.data:
        require_place(data.list)
    nearest = args.work
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    probe(nearest / args.work.name, 0)


def refuse_supervoxels(args: argparse.Namespace) -> None:
    """Refuse a scan or weights that are not there, and an output that cannot be.

    Raises:
        ProsectError: `INPUT_NOT_FOUND`, `MODEL_MISSING`, or see `SupervoxelsJob.refuse`.
    """
    refuse_inputs(args)
    require_weights(args.weights)
    SupervoxelsJob(scan_of(args), args.output, preview=args.preview, overwrite=args.overwrite).refuse()


def refuse_inputs(args: argparse.Namespace) -> None:
    """Refuse scans and folders that are not there.

    Raises:
        FormatError: `INPUT_NOT_FOUND`.
    """
    given = args.inputs if "inputs" in args else [args.input]
    for place in given:
        require_place(place)


def require_place(path: Path, *, is_folder: bool = False) -> None:
    """Refuse a path at which nothing is.

    Raises:
        FormatError: `INPUT_NOT_FOUND`.
        UsageError: It must be a folder.
    """
    if not path.exists():
        said = f"{file_name(path)}: there is no such file or folder. Check the path."
        raise FormatError(said, code="INPUT_NOT_FOUND")
    if is_folder and not path.is_dir():
        raise UsageError(f"{file_name(path)}: this is a file; give the folder in which it lies.")


CHECKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "evaluate": refuse_evaluate,
    "finetune": refuse_finetune,
    "pseudo-label": refuse_inputs,
    "serve": refuse_inputs,
    "supervoxels": refuse_supervoxels,
    "train": refuse_train,
    "view": refuse_inputs,
}
