"""Teach a model new structures from a few labelled scans (VISTA3D, Sec. 4.4)."""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from prosect.checkpoints.files import write_weights
from prosect.data.datalist import DataList
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_labelled
from prosect.errors import ProsectWarning
from prosect.models import Learns
from prosect.models.metadata import metadata_of
from prosect.networks.vista3d import Vista3D, vista3d
from prosect.training.course import Beginning, Course
from prosect.training.finetuning.measures import click_dice, kept_agreement
from prosect.training.finetuning.plan import FinetunePlan
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.finetuning.warm_start import Start, place_rows, remember_starts
from prosect.training.recipe import Data
from prosect.training.sources import Source
from prosect.training.stages import Trained, train_stages

__all__ = ["Finetuned", "finetune", "save_finetuned", "settings_as_data"]

MEASURED_SCANS = 4

Say = Callable[[str], None]


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

    model: Learns
    metadata: Mapping[str, Any]
    report: Mapping[str, Any]
    complete: bool
    dtype: torch.dtype | None = None


def finetune(
    model: Learns,
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
        say: Called with what happens, in words.
        measure: Measure clicks and kept classes before and after.
        scans_folder: Where prepared scans are kept; by default in `folder`.

    Raises:
        RecipeError: The folder holds the state of another run (`RESUME_OTHER_RUN`), no step has a finite loss
            (`TRAINING_DIVERGED`), or a scan can no longer be read (`DATALIST_UNFIT`).
        FormatError: The folder cannot be written.
    """
    starts = remember_starts(folder, model, plan, settings)
    names = plan.numbering.vocabulary
    for index, start in starts.items():
        say(f"{names[index].name}: {start.reason}")
    trained = train_stages(course_of(model, plan, settings, starts, folder, say, scans_folder), stop_at)
    made = finished_model(cast(Vista3D, trained.network), model, plan, settings)
    report = report_of(trained, model, plan, settings, starts)
    if measure:
        report |= measure_change(model, made, plan, settings)
    metadata = metadata_of(made.spec, plan.added, {"finetuning": dict(report)})
    return Finetuned(made, metadata, report, trained.finished, stored_dtype(model.network))


def save_finetuned(result: Finetuned, path: Path) -> Path:
    """Write the weights so that `load` and `-w` take them, and return the path.

    Raises:
        CheckpointError: A weight is not finite.
        FormatError: The place cannot be written.
    """
    return write_weights(path, result.model.network.state_dict(), result.metadata, result.dtype)


def stored_dtype(network: Vista3D) -> torch.dtype | None:
    """Return half precision where all weights of a network fit into it unchanged: they were stored so."""
    fits = all(torch.equal(value.half().float(), value) for value in network.state_dict().values())
    if fits:
        return torch.float16
    return None


def settings_as_data(settings: FinetuneSettings) -> dict[str, Any]:
    """Return settings as plain data."""
    return dict(json.loads(json.dumps(asdict(settings))))


def course_of(
    model: Learns,
    plan: FinetunePlan,
    settings: FinetuneSettings,
    starts: Mapping[int, Start],
    folder: Path,
    say: Say,
    scans_folder: Path | None,
) -> Course:
    """Return the course that carries out the plan's recipe, beginning with the model in memory."""

    judge = network_of(model, settings, {})

    def model_of(weights: Mapping[str, Tensor]) -> Learns:
        judge.load_state_dict(weights)
        return model.with_network(judge.eval(), plan.spec)

    def watch(stage: str, row: dict[str, Any]) -> None:
        text = words_of_row(stage, row)
        if text:
            say(text)

    name = Path(f"the scans of {plan.recipe.name}")
    return Course(
        plan.recipe,
        (Source(Data(name), plan.training, plan.validation),),
        plan.numbering,
        folder,
        device=str(model.device),
        watchers=(watch,),
        tolerance_mm=settings.tolerance_mm,
        beginning=Beginning(lambda: network_of(model, settings, starts), model_of, scans_folder),
    )


def words_of_row(stage: str, row: Mapping[str, Any]) -> str:
    """Return a row of a stage's log in words; nothing where a user need not know it."""
    step = row["step"]
    event = row.get("event")
    if event == "resumed":
        if stage == "all":
            return f"goes on at step {step}"
        return f"goes on at step {step} of the class vectors"
    if event == "trained on":
        return f"was finished after {row['before']} steps; trained on to {row['now']}"
    if stage == "all" and event == "validated":
        return f"step {step}: validation Dice {row['score']:.3f}, best {row['best']:.3f}"
    if stage == "all" and event == "looked":
        return f"step {step}: validation Dice {row['score']:.3f}, a first look at half of the time"
    if stage == "all" and event is None and "loss" in row:
        return f"step {step}: loss {row['loss']:.3f}, {row['seconds']:.2f} s a step"
    return ""


def network_of(model: Learns, settings: FinetuneSettings, starts: Mapping[int, Start]) -> Vista3D:
    """Return the network to train: a copy with its first embeddings, or a random one of the same shape."""
    if settings.from_scratch:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            fresh = vista3d(replace(model.network.architecture, interactive=False))
        return fresh.to(model.device)
    network = copy.deepcopy(model.network)
    place_rows(network, starts)
    return network


def finished_model(network: Vista3D, model: Learns, plan: FinetunePlan, settings: FinetuneSettings) -> Learns:
    """Return the model of a trained network; embeddings of other classes are put back as they were."""
    if not settings.from_scratch:
        others = torch.ones(network.architecture.classes, dtype=torch.bool)
        others[list(plan.numbering.classes)] = False
        with torch.no_grad():  # weight decay has touched them though nothing was learnt of them
            table, before = network.class_head.class_embeddings.weight, model.network.class_head.class_embeddings.weight
            table[others] = before[others]
    network.requires_grad_(False)
    return model.with_network(network.eval(), plan.spec)


def first_scans(datalist: DataList, most: int, tolerance_mm: float) -> Iterator[LabelledScan]:
    """Yield the first scans of a list with their labels."""
    for entry in datalist.entries[:most]:
        yield read_labelled(entry, datalist, tolerance_mm)


def report_of(
    trained: Trained,
    model: Learns,
    plan: FinetunePlan,
    settings: FinetuneSettings,
    starts: Mapping[int, Start],
) -> dict[str, Any]:
    """Return what was trained, as plain data."""
    names, loop = plan.numbering.vocabulary, trained.loop
    taken: dict[str, Any] = {"steps": 0, "skipped_steps": 0, "chosen_step": 0}
    best_dice = best_step = look = None
    # The time may have been over before the first step of the last stage.
    if loop is not None and loop.folder.name == "all":
        taken = {"steps": loop.step, "skipped_steps": loop.skipped, "chosen_step": loop.chosen()[1]}
        if loop.best_step:
            best_dice, best_step = round(loop.best, 4), loop.best_step
        elif loop.first_look is not None and math.isfinite(loop.first_look[0]):
            look = {"dice": round(loop.first_look[0], 4), "step": loop.first_look[1]}
    return {
        "base": model.spec.name,
        "weights_sha256": model.spec.weights_sha256,
        "scans": len(plan.training),
        "structures": [names[index].name for index in plan.numbering.classes],
        "starts": {names[index].name: start.reason for index, start in starts.items()},
        "settings": settings_as_data(settings),
        "notes": list(plan.notes),
        **taken,
        "validation": {
            "scans": len(plan.validation) if settings.validate_every else 0,
            "held_out": plan.held_out,
            "best_dice": best_dice,
            "best_step": best_step,
            **({"first_look": look} if look is not None else {}),
        },
    }


def measure_change(model: Learns, made: Learns, plan: FinetunePlan, settings: FinetuneSettings) -> dict[str, Any]:
    """Return what clicks and kept classes were worth before and are after, on the scans of validation."""
    scans = list(first_scans(plan.validation, MEASURED_SCANS, settings.tolerance_mm))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProsectWarning)
        found: dict[str, Any] = {}
        if made.network.architecture.interactive and not made.spec.automatic_only:
            # The same scans seen in the same way, so that only what the weights have done remains.
            prepared_alike = replace(model.spec, spacing_mm=made.spec.spacing_mm, intensity=made.spec.intensity)
            alike = model.with_network(model.network, prepared_alike)
            classes = plan.numbering.classes
            found["one_click_dice"] = {
                "before": click_dice(model, scans, classes, settings.seed),
                "before_prepared_alike": click_dice(alike, scans, classes, settings.seed),
                "after": click_dice(made, scans, classes, settings.seed),
            }
        if settings.keep_classes:
            found["kept_classes"] = kept_agreement(model, made, scans)
    return found
