"""Open a session again after it was saved or its process died."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prosect.errors import CheckpointError, FormatError
from prosect.models import TakesClicks, load, require_clicks
from prosect.session import Record, Session, read_record
from prosect.volume import Volume

__all__ = ["resume"]


def resume(
    path: str | os.PathLike[str],
    volume: Volume,
    *,
    model: TakesClicks | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    recompute: bool = False,
) -> Session:
    """Return the session in a file, bit for bit; a journal is continued where it ends.

    The masks come from the record, so this takes no network pass; the next click does.

    Args:
        path: A journal, or what `Session.save` wrote.
        volume: The scan it belongs to.
        model: The model it was made with; by default the one that the file names is loaded.
        weights: A weights file for that, as in `load`.
        device: As in `load`.
        recompute: Ask the network again, and refuse where it answers otherwise than then.

    Raises:
        FormatError: No session, a damaged one, or one of another scan or model (`SESSION_FILE`, `SESSION_DAMAGED`,
            `SESSION_OTHER`, `REPLAY_DIFFERS`).
        CheckpointError: The model is unknown or takes no clicks.
    """
    record = read_record(path)
    name, profile, options = _model_of(path, record)
    place = None if weights is None else Path(weights)
    # Another grid would answer otherwise; a model that is given with another one is refused with its record below.
    fast = "fast" in record.header["model"]
    chosen = model or require_clicks(load(name, place, device, profile, fast=fast))
    sha256 = chosen.identity["weights_sha256"]
    said = record.header["model"].get("weights_sha256")
    if said != sha256:
        raise CheckpointError(
            f"The session was made with weights {said!r:.18}..., these are {sha256!r:.18}...; give the same file.",
            code="SESSION_OTHER_WEIGHTS",
        )
    session = chosen.session(volume, **options)
    return session.replay(record, recompute=recompute, journal=path if record.is_journal else None)


def _model_of(path: str | os.PathLike[str], record: Record) -> tuple[str, str, dict[str, Any]]:
    """Return the name and profile of the model that a session was made with, and the session's options."""
    try:
        said = record.header["model"]
        options: dict[str, Any] = {
            "overlap": str(record.header["overlap"]),
            "near_miss_mm": float(record.header["near_miss_mm"]),
            "compat": record.header["compat"],
        }
        # Sessions of before there was a limit, and those that had none once, get the usual one.
        if isinstance(record.header.get("undo_bytes"), int):
            options["undo_bytes"] = record.header["undo_bytes"]
        return str(said["model"]), str(said["profile"]), options
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{Path(path).name}: the session does not say its model.", code="SESSION_DAMAGED") from error
