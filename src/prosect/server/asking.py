"""What MONAI Label's clients ask of a model, in words of ours: structures to find, and all clicks on one of them.

Slicer and OHIF ask for the same things in different ways, and want the answer numbered in different ways:

- Slicer gives value n of a label file to the n-th name that it is told, so values have no gaps.
- OHIF looks a value up in the table of the model, so values are the model's indices, and 255 means "leave alone".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosect.errors import CheckpointError, FormatError, PromptError
from prosect.prompts import Click, click_at
from prosect.server.foreign import flag_of
from prosect.server.service import Service
from prosect.session import Change, Session
from prosect.vocabulary import Vocabulary

__all__ = ["MODELS", "Asked", "Found", "answer", "compact_values", "model_values", "read_request"]

# One model under three names: viewers sort their tools by type, and `vista3d` is shown by OHIF alone.
MODELS: Mapping[str, str] = {"prosect": "segmentation", "prosect-click": "deepgrow", "prosect-vista": "vista3d"}
IGNORED = ("device", "model_filename", "logging", "roi")
KNOWN = (
    "label", "foreground", "background", "points", "point_labels", "label_prompt", "reset_state", "from", "client_id",
    "result_extension", "result_dtype", "result_compress", "restore_label_idx",
)  # fmt: skip
MOST_VALUE = 254


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        names: Structures to find; None for all that the model was trained for.
        structure: The structure that is clicked; None where nothing is.
        clicks: All clicks on it: voxel (i j k) and sign.
        draft: Whether the model finds the structure by itself before the clicks correct it.
        notes: What was assumed.
    """

    names: tuple[str, ...] | None = None
    structure: str | None = None
    clicks: tuple[tuple[tuple[float, float, float], bool], ...] = ()
    draft: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What came of a request.

    Attributes:
        names: The structures that the answer is about, those that are empty too.
        seconds: How long it took.
        notes: What was assumed.
    """

    names: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())


def read_request(model: str, said: Mapping[str, Any], vocabulary: Vocabulary) -> Asked:
    """Return what a client asks for.

    Args:
        model: One of `MODELS`.
        said: Its parameters.
        vocabulary: Of the model.

    Raises:
        ProsectError: There is no such model (`MODEL_UNKNOWN`), or it cannot be asked so.
    """
    if model not in MODELS:
        raise CheckpointError(
            f"There is no model '{model:.40}' here; there are: {', '.join(MODELS)}.", code="MODEL_UNKNOWN"
        )
    ignored = [key for key in said if key in IGNORED or key not in KNOWN]
    notes = [f"{', '.join(sorted(ignored)):.200}: not used here"] if ignored else []
    if MODELS[model] == "deepgrow":
        return clicks_of(said, notes)
    prompt = said.get("label_prompt")
    if MODELS[model] == "vista3d" and said.get("points"):
        return points_of(said, prompt, vocabulary, notes)
    if prompt is None or prompt == []:
        return Asked(notes=tuple(notes))
    resolved = vocabulary.resolve(indices_in(prompt))
    for group, parts in resolved.expansions.items():
        notes.append(f"'{group}' stands for its parts: {', '.join(parts)}")
    names = tuple(vocabulary[index].name for index in resolved.indices)
    return Asked(names, notes=(*notes, *resolved.notes))


def clicks_of(said: Mapping[str, Any], notes: Sequence[str]) -> Asked:
    """Return what Slicer's click tool asks for: a structure by name, and its clicks of each sign."""
    label = said.get("label") or "object"
    if not isinstance(label, str):
        raise FormatError(f"label: a name is needed; found {label!r:.40}.", code="REQUEST_INVALID")
    clicks = [(voxel, True) for voxel in voxels_in(said, "foreground")]
    clicks += [(voxel, False) for voxel in voxels_in(said, "background")]
    from_nothing = flag_of(said, "reset_state", False) or said.get("from") == "none"
    return Asked(structure=label, clicks=tuple(clicks), draft=not from_nothing, notes=tuple(notes))


def points_of(said: Mapping[str, Any], prompt: Any, vocabulary: Vocabulary, notes: Sequence[str]) -> Asked:
    """Return what OHIF's point tool asks for: one structure by index, points, and their signs.

    Raises:
        PromptError: No structure is named, or several are (`POINTS_STRUCTURE`).
        FormatError: There is not one sign for each point (`REQUEST_INVALID`).
    """
    indices = indices_in(prompt or [])
    if len(indices) != 1 or indices[0] < 1:
        raise PromptError(
            f"Points belong to one structure; label_prompt is {indices}. Choose one.", code="POINTS_STRUCTURE"
        )
    voxels = voxels_in(said, "points")
    signs = said.get("point_labels")
    if not isinstance(signs, list) or len(signs) != len(voxels) or any(sign not in (0, 1) for sign in signs):
        raise FormatError(f"point_labels: {len(voxels)} times 0 or 1 are needed.", code="REQUEST_INVALID")
    known = vocabulary.get(indices[0])
    name = f"object {indices[0]}" if known is None else known.name
    clicks = [(voxel, bool(sign)) for voxel, sign in zip(voxels, signs, strict=True)]
    return Asked(structure=name, clicks=tuple(clicks), notes=tuple(notes))


def indices_in(prompt: Any) -> list[int]:
    """Return a list of label indices.

    Raises:
        FormatError: It is none (`REQUEST_INVALID`).
    """
    whole = isinstance(prompt, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in prompt)
    if not whole or len(prompt) > 1000:
        raise FormatError(f"label_prompt: a list of indices is needed; found {prompt!r:.60}.", code="REQUEST_INVALID")
    return [int(each) for each in prompt]


def voxels_in(said: Mapping[str, Any], key: str) -> list[tuple[float, float, float]]:
    """Return a list of voxels (i j k).

    Raises:
        FormatError: It is none (`REQUEST_INVALID`).
    """
    given = said.get(key) or []
    found = []
    for voxel in given if isinstance(given, list) else [given]:
        plain = isinstance(voxel, list) and len(voxel) == 3
        if not plain or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in voxel):
            raise FormatError(
                f"{key}: voxels of three numbers are needed; found {voxel!r:.60}.", code="REQUEST_INVALID"
            )
        i, j, k = (float(number) for number in voxel)
        found.append((i, j, k))
    return found


def answer(service: Service, session_id: str, asked: Asked) -> Found:
    """Do what a client asks in its session, and return what came of it.

    Raises:
        ProsectError: It cannot be honoured; nothing has changed then.
    """
    if asked.structure is None:
        return find(service, session_id, asked)
    return correct(service, session_id, asked, asked.structure)


def find(service: Service, session_id: str, asked: Asked) -> Found:
    """Draft structures, clicks that were made before included."""
    vocabulary = service.shelf.clicker().vocabulary
    names = asked.names
    if names is None:
        names = tuple(each.name for each in vocabulary if each.status == "supported")
    wanted = None if asked.names is None else list(names)
    change = service.draft_now(session_id, wanted)
    notes = asked.notes if change is None else (*asked.notes, *change.notes)
    return Found(names, 0.0 if change is None else change.seconds, notes)


def correct(service: Service, session_id: str, asked: Asked, structure: str) -> Found:
    """Make a client's clicks all the clicks of a structure.

    The model's own draft comes first where the structure is one of its classes and has nothing yet (VISTA3D's
    combined use of classes and points).
    """
    live = service.library.session(session_id)
    with live.hold() as session:
        known = session.vocabulary.get(structure)
        state = next((each for each in session.states if known is not None and each.index == known.index), None)
        clicks = clicks_in(session, asked)
    supported = known is not None and known.supported
    begun = state is not None and (state.drafted or state.clicks > 0)
    drafted: Change | None = None
    if asked.draft and supported and not begun and known is not None:
        drafted = service.draft_now(session_id, [known.name])
    elif not clicks and not begun:
        raise PromptError(f"No click on '{structure:.60}', and the model has no class for it.", code="PROMPT_EMPTY")
    change = service.perform(session_id, "clicks", lambda one, watch: one.set_clicks(structure, clicks, watch=watch))
    seconds = change.seconds + (0.0 if drafted is None else drafted.seconds)
    return Found((change.structure,), seconds, (*asked.notes, *change.notes))


def clicks_in(session: Session, asked: Asked) -> list[Click]:
    """Return a client's clicks, in mm.

    Raises:
        PromptError: One lies outside the scan (`POINT_OUTSIDE`).
    """
    grid = session.volume.grid
    return [click_at(voxel, grid, positive=positive, space="voxel") for voxel, positive in asked.clicks]


def compact_values(session: Session, names: Sequence[str]) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return labels (i j k) with values 1 to n and the value of each name, as Slicer reads them.

    Structures that are empty get the last values, so that their segments are emptied too.

    Raises:
        PromptError: There are more than one byte can number (`STRUCTURES_TOO_MANY`).
    """
    there = [name for name in names if name in session.structures]
    missing = [name for name in names if name not in there]
    if len(names) > MOST_VALUE:
        raise PromptError(f"{len(names)} structures; at most {MOST_VALUE} are sent.", code="STRUCTURES_TOO_MANY")
    values = {name: number for number, name in enumerate((*there, *missing), start=1)}
    return painted(session, there, values), values


def model_values(session: Session, names: Sequence[str]) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return labels (i j k) with the model's own values, as OHIF reads them; those above 254 cannot be told."""
    values = {}
    for name in names:
        structure = session.vocabulary.get(name)
        if structure is not None and structure.index <= MOST_VALUE:
            values[name] = structure.index
    return painted(session, [name for name in values if name in session.structures], values), values


def painted(session: Session, names: Sequence[str], values: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return labels of structures (i j k), those above that lie in others."""
    vocabulary = session.vocabulary
    tiers = vocabulary.tiers([vocabulary[name].index for name in names])
    order = sorted(zip(tiers, names, strict=True), key=lambda pair: pair[0])
    out = np.zeros(session.volume.grid.shape, dtype=np.uint8)
    for _, name in order:
        out[session.mask(name)] = values[name]
    return out
