"""Teach a model new structures from a few labelled scans (VISTA3D, Sec. 4.4)."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prosect.checkpoints.files import write_weights
from prosect.data.datalist import DataList
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.errors import ProsectWarning
from prosect.models.metadata import metadata_of
from prosect.models.vista3d import Vista3DModel
from prosect.networks.vista3d import Vista3D, vista3d
from prosect.training.finetuning.loop import loop_of, padded
from prosect.training.finetuning.measures import click_dice, kept_agreement
from prosect.training.finetuning.recipe_of import FinetunePlan, FinetuneSettings
from prosect.training.finetuning.warm_start import (
    LEAST_DICE,
    Start,
    fit_head,
    most_similar,
    place_rows,
    trained_classes,
)
from prosect.training.loop import TrainingLoop
from prosect.training.prepared import content_of, prepared_scans
from prosect.training.stream import stream_of

__all__ = ["Finetuned", "finetune", "save_finetuned"]

TABLE = "class_head.class_embeddings.weight"
SIMILAR_SCANS = 2  # a whole segmentation each
MEASURED_SCANS = 4
SCANS = "scans"

Say = Callable[[str], None]
Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What came of finetuning.

    Attributes:
        model: Ready for use.
        metadata: What its weights file says about itself.
        report: What was trained and measured, as plain data.
        complete: Whether the run came to its end, not only to its time limit.
        dtype: In which its weights are stored; None keeps float32.
    """

    model: Vista3DModel
    metadata: Mapping[str, Any]
    report: Mapping[str, Any]
    complete: bool
    dtype: torch.dtype | None = None


def finetune(
    model: Vista3DModel,
    plan: FinetunePlan,
    settings: FinetuneSettings,
    folder: Path,
    stop_at: float | None = None,
    say: Say = lambda _: None,
    measure: bool = True,
    scans_folder: Path | None = None,
) -> Finetuned:
    """Return a model that knows the structures of a plan; the one it starts from stays as it is.

    Killed at any time, the same call goes on where the last state was saved, to the same weights.

    Args:
        model: Where it starts.
        plan: See `plan_finetuning`.
        settings: Those that the plan was made with.
        folder: For prepared scans, states and the log.
        stop_at: Give what there is by this time (`time.time()`); the same call goes on later.
        say: Told what happens.
        measure: Measure clicks and kept classes before and after.
        scans_folder: Where prepared scans are kept; by default in `folder`.

    Raises:
        RecipeError: The folder holds the state of another run (`RESUME_OTHER_RUN`), or no step has a finite loss
            (`TRAINING_DIVERGED`).
        FormatError: A scan cannot be read, or the folder cannot be written.
    """
    starts = remembered(folder, model, plan, settings)
    for index, start in starts.items():
        say(f"{plan.numbering.vocabulary[index].name}: {start.reason}")
    network = first_network(model, settings, starts)
    preparation, kept = plan.spec.preparation(model.profile), scans_folder or folder / SCANS
    prepared = prepared_scans(plan.training, plan.numbering, preparation, kept)
    scans = [padded(scan, plan.spec.patch) for scan in prepared]
    identity = identity_of(model, plan, settings)
    loop, objective, source = loop_of(network, model, plan, settings, scans, folder, identity, say)
    if loop.resume():
        say(f"goes on at step {loop.step}")
    elif settings.head_steps and not settings.from_scratch:
        fit_head(objective, lambda n: source.draw(stream_of(settings.seed, 0, n, 2))[1], settings.head_steps)
        loop.average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    loop.run(save_every=settings.validate_every or 50, stop_at=stop_at)
    weights, chosen = loop.chosen()
    made = finished(network, weights, model, plan, settings)
    report = {
        "base": model.spec.name,
        "weights_sha256": model.spec.weights_sha256,
        "scans": len(plan.training),
        "structures": [plan.numbering.vocabulary[i].name for i in plan.numbering.classes],
        "starts": {plan.numbering.vocabulary[i].name: start.reason for i, start in starts.items()},
        "settings": plain(settings),
        "notes": list(plan.notes),
        "steps": loop.step,
        "skipped_steps": loop.skipped,
        "chosen_step": chosen,
        "validation": validation_report(loop, plan, settings),
    }
    if measure:
        report |= measured(model, made, plan, settings)
    return Finetuned(
        made,
        metadata_of(made.spec, plan.added, {"finetuning": dict(report)}),
        report,
        loop.finished,
        half_of(model.network),
    )


def save_finetuned(result: Finetuned, path: Path) -> Path:
    """Write the weights so that `load` and `-w` take them, and return the path.

    Raises:
        CheckpointError: A weight is not finite.
        FormatError: The place cannot be written.
    """
    return write_weights(path, result.model.network.state_dict(), result.metadata, result.dtype)


def half_of(network: Vista3D) -> torch.dtype | None:
    """Return half precision where all weights of a network fit into it unchanged: they were stored so."""
    fits = all(torch.equal(value.half().float(), value) for value in network.state_dict().values())
    return torch.float16 if fits else None


def plain(settings: FinetuneSettings) -> dict[str, Any]:
    """Return settings as plain data."""
    return dict(json.loads(json.dumps(asdict(settings))))


def remembered(folder: Path, model: Vista3DModel, plan: FinetunePlan, settings: FinetuneSettings) -> dict[int, Start]:
    """Return where classes begin, looked for once and kept: looking takes whole segmentations."""
    path, key = folder / "starts.json", identity_of(model, plan, settings)
    try:
        kept = json.loads(path.read_bytes())
        if kept["identity"] == key:
            return {int(i): Start(tuple(sources), reason) for i, sources, reason in kept["starts"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    starts = first_rows(model, plan, settings)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [[index, list(start.sources), start.reason] for index, start in starts.items()]
    path.write_text(json.dumps({"identity": key, "starts": rows}))
    return starts


def first_rows(model: Vista3DModel, plan: FinetunePlan, settings: FinetuneSettings) -> dict[int, Start]:
    """Return where each class begins: where it is, at the class that the user names, at the most similar one, or in
    the middle of all.

    Raises:
        VocabularyError: A class to start from is unknown (`STRUCTURE_UNKNOWN`).
    """
    known, words = trained_classes(model.spec), plan.numbering.vocabulary
    if settings.from_scratch:
        return {}
    named = {words[new].index: words[old].index for new, old in settings.sources}
    starts = {i: Start((), "known already, goes on from there") for i in plan.numbering.classes if i in known}
    starts |= {i: Start((old,), f"starts as {words[old].name}, as asked for") for i, old in named.items()}
    open_ones = [i for i in plan.numbering.classes if i not in starts]
    if open_ones and model.vocabulary.lists:
        scans = list(labelled(plan.training, SIMILAR_SCANS))
        for index, (other, overlap) in most_similar(model, scans, open_ones).items():
            if overlap >= LEAST_DICE:
                reason = f"starts as {words[other].name}, which overlaps it with Dice {overlap:.2f}"
                starts[index] = Start((other,), reason)
    middle = Start(known, "starts as the mean of the known classes, none of which is like it")
    return {i: starts.get(i, middle) for i in plan.numbering.classes}


def first_network(model: Vista3DModel, settings: FinetuneSettings, starts: Mapping[int, Start]) -> Vista3D:
    """Return the network to train: a copy with its first embeddings, or a random one of the same shape."""
    if settings.from_scratch:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            fresh = vista3d(replace(model.network.architecture, interactive=False))
        return fresh.to(model.device)
    network = copy.deepcopy(model.network)
    place_rows(network, starts)
    return network


def identity_of(model: Vista3DModel, plan: FinetunePlan, settings: FinetuneSettings) -> str:
    """Return what makes a run this one: the start, the scans with their labels, the classes, how they are seen."""
    files = [
        [content_of(path) for path in (e.image, e.label) if path is not None]
        for e in (*plan.training, *plan.validation)
    ]
    facts = [
        model.spec.weights_sha256, files, plan.numbering.order, plain(settings), plan.spec.patch,
        asdict(plan.spec.preparation(model.profile)), plan.held_out,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def finished(
    network: Vista3D, weights: Weights, model: Vista3DModel, plan: FinetunePlan, settings: FinetuneSettings
) -> Vista3DModel:
    """Return the model with the chosen weights; embeddings of other classes are put back as they were."""
    network.load_state_dict(weights)
    if not settings.from_scratch:
        others = torch.ones(network.architecture.classes, dtype=torch.bool)
        others[list(plan.numbering.classes)] = False
        with torch.no_grad():  # weight decay has touched them though nothing was learnt of them
            table, before = network.class_head.class_embeddings.weight, model.network.class_head.class_embeddings.weight
            table[others] = before[others]
    network.requires_grad_(False)
    spec = replace(plan.spec, licence=licence_of(model), weights_sha256="")
    return Vista3DModel(network.eval(), spec, model.profile, model.device)


def licence_of(model: Vista3DModel) -> str:
    """Return the licence of weights made from a model's; of the new scans nothing is known here."""
    said = "Finetuned on further scans, whose terms hold as well."
    return model.spec.licence if said in model.spec.licence else f"{model.spec.licence} {said}".strip()


def labelled(datalist: DataList, most: int) -> Iterator[LabelledScan]:
    """Yield the first scans of a list with their labels."""
    for entry in datalist.entries[:most]:
        yield read_labelled(entry, datalist)


def validation_report(loop: TrainingLoop, plan: FinetunePlan, settings: FinetuneSettings) -> dict[str, Any]:
    """Return how the run was validated."""
    seen = settings.validate_every > 0 and loop.best_step > 0
    return {
        "scans": len(plan.validation) if settings.validate_every else 0,
        "held_out": plan.held_out,
        "best_dice": round(loop.best, 4) if seen else None,
        "best_step": loop.best_step if seen else None,
    }


def measured(model: Vista3DModel, made: Vista3DModel, plan: FinetunePlan, settings: FinetuneSettings) -> dict[str, Any]:
    """Return what clicks and kept classes were worth before and are after, on the scans of validation."""
    scans = list(labelled(plan.validation, MEASURED_SCANS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProsectWarning)
        found: dict[str, Any] = {}
        if made.network.architecture.interactive and not made.spec.automatic_only:
            # The same scans seen in the same way, so that only what the weights have done remains.
            prepared_alike = replace(model.spec, spacing_mm=made.spec.spacing_mm, intensity=made.spec.intensity)
            alike = Vista3DModel(model.network, prepared_alike, model.profile, model.device)
            found["one_click_dice"] = {
                "before": click_dice(model, scans, plan.numbering.classes, settings.seed),
                "before_prepared_alike": click_dice(alike, scans, plan.numbering.classes, settings.seed),
                "after": click_dice(made, scans, plan.numbering.classes, settings.seed),
            }
        if settings.keep_classes:
            found["kept_classes"] = kept_agreement(model, made, scans)
    return found
