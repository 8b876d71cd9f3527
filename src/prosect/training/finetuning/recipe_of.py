"""The recipe of a finetuning: class vectors first, then everything, made of what a user asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prosect.case import Intensity
from prosect.errors import RecipeError
from prosect.models import Learns
from prosect.models.spec import ModelSpec
from prosect.plain_data import from_plain
from prosect.training.export import Before
from prosect.training.finetuning.settings import FinetuneSettings
from prosect.training.recipe import Part, Recipe, Shape, Stage, Triple
from prosect.training.recipe_file import shipped_recipe

__all__ = ["before_of", "recipe_of", "shape_of", "trained_classes"]

RECIPE = "finetuning"


def recipe_of(model: Learns, settings: FinetuneSettings, shape: Shape, name: str) -> Recipe:
    """Return the recipe of a finetuning: its class vectors first, then everything.

    Args:
        model: Where it starts.
        settings: What the user asks for.
        shape: The model's network, and how it will see the scans.
        name: Of the result.
    """
    tables = shipped_recipe(RECIPE)
    values = {**tables["defaults"], "patch": list(shape.window), "bfloat16": settings.bfloat16, "seed": settings.seed}
    stages = []
    if settings.head_steps and not settings.from_scratch:  # random features are nothing to fit a vector to
        stages.append(stage_of("head", values, tables["stage"]["head"], steps=settings.head_steps))
    train, shares = learning_parts(model, settings)
    asked = {
        "branch": "both" if settings.clicks else "automatic",
        "train": list(train),
        "shares": list(shares),
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": min(100, settings.steps // 10 + 1),
        "patches_per_step": settings.patches_per_step,
        "validate_every": settings.validate_every,
        "patience": settings.patience,
        "save_every": settings.validate_every or 50,
    }
    stages.append(stage_of("all", values, tables["stage"]["all"], **asked))
    return Recipe(name, (), shape, tuple(stages), settings.seed, licence_of(model))


def stage_of(name: str, defaults: Mapping[str, Any], own: Mapping[str, Any], **asked: Any) -> Stage:
    """Return a stage of the shipped recipe with what a user asks for."""
    values = {**defaults, **own, **asked, "name": name}
    return from_plain(Stage, values, f"{RECIPE}, stage {name}", RecipeError)


def learning_parts(model: Learns, settings: FinetuneSettings) -> tuple[tuple[Part, ...], tuple[float, ...]]:
    """Return the parts of the network that learn, and their shares of the learning rate."""
    architecture = model.network.architecture
    train: list[Part] = ["automatic"]
    shares = [1.0]
    if not settings.freeze_encoder:
        train.append("encoder")
        shares.append(1.0 if settings.from_scratch else settings.encoder_share)
    elif architecture.interactive and architecture.click_head == "maps":
        # This click head looks at the automatic branch's features, so they have to stay, too.
        train = ["class_vectors"]
    if settings.clicks:
        train.append("interactive")
        shares.append(settings.encoder_share)
    return tuple(train), tuple(shares)


def shape_of(model: Learns, settings: FinetuneSettings, spacing: float, patch: Triple, intensity: Intensity) -> Shape:
    """Return the model's network as a recipe describes it, and how it will see the scans.

    Raises:
        RecipeError: The model takes intensities as no recipe of a VISTA3D does (`RECIPE_INVALID`).
    """
    if intensity.kind == "clip":
        raise RecipeError(
            "The model clips intensities and does not scale them; finetuning needs a window or percentiles. Give "
            "--intensity percentile.",
            code="RECIPE_INVALID",
        )
    architecture = model.network.architecture
    return Shape(
        width=architecture.width,
        blocks=architecture.blocks,
        click_head=architecture.click_head,
        rows=architecture.classes,
        spacing_mm=spacing,
        window=patch,
        click_patch=model.spec.click_patch,
        intensity=intensity.kind,
        low=intensity.low,
        high=intensity.high,
        profile=model.profile.name,
        keep_classes=settings.keep_classes,
    )


def before_of(model: Learns, settings: FinetuneSettings) -> Before:
    """Return what is known of the model that a finetuning begins with."""
    spec = model.spec
    shown = tuple(s.index for s in model.vocabulary if s.supported)
    learnt: tuple[int, ...] = ()
    if spec.exclusive and settings.keep_classes:
        learnt = trained_classes(spec)
    return Before(shown, learnt, spec.base or spec.name, spec.automatic_only)


def trained_classes(spec: ModelSpec) -> tuple[int, ...]:
    """Return the classes whose embeddings a model has learnt, shown to people or not."""
    return tuple(sorted({s.index for s in spec.vocabulary if s.supported} | set(spec.exclusive)))


def licence_of(model: Learns) -> str:
    """Return the licence of weights made from a model's; of the new scans nothing is known here."""
    said = "Finetuned on further scans, whose terms hold as well."
    before = model.spec.licence
    if said in before:
        return before
    return f"{before} {said}".strip()
