"""What a weights file says of its model: how it is written, and how it is read beside the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from prosect.case import Intensity
from prosect.checkpoints.catalog import CATALOG, Entry
from prosect.checkpoints.model_facts import facts_of
from prosect.checkpoints.offers import offering, with_structures
from prosect.errors import CheckpointError
from prosect.inference.appearance import Appearance
from prosect.inference.lasting import Lasting
from prosect.inference.scale_choice import ScaleRule
from prosect.inference.scales import ClickScales
from prosect.models.spec import ModelSpec
from prosect.vocabulary import Structure, Vocabulary
from prosect.vocabulary import load as load_vocabulary
from prosect.vocabulary.rows import row_of, structure_of

__all__ = ["label_values_of", "metadata_of", "preprocessing_of", "spec_of"]


def metadata_of(spec: ModelSpec, added: Iterable[Structure], training: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a weights file says of a model.

    Args:
        spec: The model. Structures that its vocabulary supports are those it offers.
        added: Structures beyond those of the vocabulary of that name.
        training: How it was made.
    """
    preprocessing: dict[str, Any] = {
        "spacing_mm": list(spec.spacing_mm),
        # The word in files that are out already.
        "patch": list(spec.window),
        "intensity": asdict(spec.intensity),
    }
    if spec.click_patch is not None:
        preprocessing["click_patch"] = list(spec.click_patch)
    # Only where there are any, so that files without them stay as they were.
    values: dict[str, Any] = {}
    if spec.label_values:
        values["label_values"] = {str(index): value for index, value in spec.label_values.items()}
    return {
        "format": 1,
        "model": spec.name,
        "base": spec.base,
        "vocabulary": spec.vocabulary.name,
        "structures": [row_of(structure) for structure in added],
        "classes": [s.index for s in spec.vocabulary if s.supported or s.status == "group"],
        "exclusive": list(spec.exclusive),
        "one_piece": list(spec.one_piece),
        "largest_ml": {str(index): ml for index, ml in spec.largest_ml.items()},
        "licence": spec.licence,
        **values,
        "preprocessing": preprocessing,
        "training": dict(training),
    }


def spec_of(base: Entry, metadata: Mapping[str, Any], sha256: str, rows: int) -> ModelSpec:
    """Return a specification from the catalogue, overridden by what the file says of itself.

    Args:
        base: The catalogue's entry.
        metadata: See `metadata_of`; official files have none.
        sha256: Hash of the file.
        rows: Rows of its class embedding table.

    Raises:
        CheckpointError: The rows are too few for the vocabulary (`MODEL_WRONG_NETWORK`).
    """
    vocabulary, everything = _vocabulary(base, metadata, rows)
    known = {structure.name for structure in vocabulary if structure.supported}
    said = metadata.get("preprocessing", {})
    name = str(metadata.get("model", base.name))
    # A file says of which entry its network is; the scales were fitted to the weights of its own name.
    own = CATALOG.get(name, base)
    return ModelSpec(
        name=name,
        vocabulary=vocabulary,
        window=_three(said.get("patch", base.window)),
        least_window=own.least_window,
        click_patch=_three(said["click_patch"]) if "click_patch" in said else None,
        **preprocessing_of(base, metadata),
        everything=everything,
        exclusive=tuple(int(index) for index in metadata.get("exclusive", ())),
        one_piece=tuple(int(index) for index in metadata.get("one_piece", ())),
        air_filled=tuple(vocabulary[name].index for name in own.air_filled if name in known),
        largest_ml={int(index): float(ml) for index, ml in metadata.get("largest_ml", {}).items()},
        licence=str(metadata.get("licence", base.licence)),
        weights_sha256=sha256,
        automatic_only=base.automatic_only,
        base=str(metadata.get("base", "")),
        click_scales=click_scales_of(own.click_scales),
        appearance=None if own.appearance is None else Appearance(**own.appearance),
        lasting=None if own.lasting is None else Lasting(**own.lasting),
        # Finetuned weights have a name of their own, and of their structures nothing is known.
        facts=facts_of(str(metadata.get("model", base.name))),
        label_values=label_values_of(metadata),
    )


def label_values_of(metadata: Mapping[str, Any]) -> dict[int, int]:
    """Return the label values in files that weights state, by class; none where those are the classes themselves."""
    return {int(index): int(value) for index, value in metadata.get("label_values", {}).items()}


def preprocessing_of(base: Entry, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return working spacing and intensities: the catalogue's, overridden by what the file says of itself."""
    said = metadata.get("preprocessing", {})
    intensity = said.get("intensity", dict(zip(("kind", "low", "high"), base.intensity, strict=True)))
    return {"spacing_mm": _three(said.get("spacing_mm", base.spacing_mm)), "intensity": Intensity(**intensity)}


def click_scales_of(row: Mapping[str, Any]) -> ClickScales:
    """Return the scales of clicks that the catalogue states."""
    values = dict(row)
    if "extents_mm" in values:
        least, most = values["extents_mm"]
        values["extents_mm"] = (float(least), float(most))
    if "rule" in values:
        rule = dict(values["rule"])
        values["rule"] = ScaleRule(**{**rule, "tried": tuple(rule["tried"])})
    return ClickScales(**values)


def _vocabulary(base: Entry, metadata: Mapping[str, Any], rows: int) -> tuple[Vocabulary, str | None]:
    """Return the vocabulary, restricted to the trained classes where the file lists them, and its everything list."""
    vocabulary = load_vocabulary(str(metadata.get("vocabulary", base.vocabulary)))
    vocabulary = with_structures(vocabulary, [structure_of(row) for row in metadata.get("structures", ())])
    trained = metadata.get("classes")
    if trained is None:
        if rows <= max(s.index for s in vocabulary if s.status == "supported"):
            raise CheckpointError(
                f"The weights have {rows} class rows, too few for the vocabulary '{vocabulary.name}'.",
                code="MODEL_WRONG_NETWORK",
            )
        return vocabulary, base.everything
    offered = offering(vocabulary, trained)
    return offered, offered.default_list


def _three(values: Any) -> Any:
    a, b, c = values
    return a, b, c
