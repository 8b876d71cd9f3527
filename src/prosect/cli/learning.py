"""What the flags say of how a model learns new structures; looked at before torch is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from prosect.cli.choices import tolerance_of
from prosect.errors import RecipeError
from prosect.training.finetuning.settings import FinetuneSettings

__all__ = ["settings_of"]

OWN = ("validation", "validate_every", "patience", "keep_classes", "freeze_encoder", "clicks")


def settings_of(args: argparse.Namespace, **fixed: Any) -> FinetuneSettings:
    """Return the settings that the flags ask for; `fixed` are others.

    Raises:
        RecipeError: A number cannot be (`RECIPE_INVALID`).
    """
    if not 0 < args.rate < 1:
        raise RecipeError(f"A learning rate of {args.rate} cannot be; 0.002 is usual.", code="RECIPE_INVALID")
    validation = getattr(args, "validation", 0.0)
    if not 0 <= validation < 1:
        raise RecipeError(f"A share of {validation} for validation cannot be.", code="RECIPE_INVALID")
    own = {}
    if args.command == "finetune":
        own = {key: getattr(args, key) for key in OWN}
    if "sources" in args:
        own["sources"] = tuple(source_of(text) for text in args.sources)
    if args.patch is None:
        patch = None
    else:
        patch = tuple(args.patch)
    common: Mapping[str, Any] = {
        "steps": args.steps, "learning_rate": args.rate, "spacing_mm": args.spacing, "patch": patch,
        "intensity": args.intensity, "tolerance_mm": tolerance_of(args),
    }  # fmt: skip
    return FinetuneSettings(**{**common, **own, **fixed})


def source_of(text: str) -> tuple[str, str]:
    """Return new and known structure of `new=known`.

    Raises:
        RecipeError: It is no such pair (`MAPPING_INVALID`).
    """
    new, found, known = text.partition("=")
    if not found or not new.strip() or not known.strip():
        raise RecipeError(f"{text!r:.60}: write NEW=KNOWN, such as lesion=liver.", code="MAPPING_INVALID")
    return new.strip(), known.strip()
