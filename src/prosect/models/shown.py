"""How a model shows itself: its name, what it knows, its grid and its device."""

from __future__ import annotations

from typing import cast

from prosect.display import Shown, spacings
from prosect.models.protocols import LoadedModel

__all__ = ["ShownModel"]

MOST_NAMED = 40


class ShownModel(Shown):
    """A model that shows itself as a short line, and in a notebook as a card."""

    def _facts(self) -> tuple[str, ...]:
        model = cast(LoadedModel, self)
        known = sum(structure.supported for structure in model.vocabulary)
        structures = "anything by clicks"
        if known:
            structures = f"{known} structures"
        return repr(model.spec.name), structures, spacings(model.spec.spacing_mm), str(model.device)

    def _rows(self) -> tuple[tuple[str, str], ...]:
        model = cast(LoadedModel, self)
        names = []
        for structure in model.vocabulary:
            if structure.supported:
                names.append(structure.name)
        said = ", ".join(names[:MOST_NAMED])
        if len(names) > MOST_NAMED:
            said += f" and {len(names) - MOST_NAMED} more"
        return ("structures", said or "none by itself"), ("licence", model.spec.licence or "not stated")
