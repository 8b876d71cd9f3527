"""The log of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

__all__ = ["tensorboard_watcher"]


def tensorboard_watcher(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Return what writes the numbers of every log row under `folder`, by their names."""
    writer = SummaryWriter(str(folder))

    def watch(row: dict[str, Any]) -> None:
        prefix = ""
        if "event" in row:
            prefix = f"{row['event']}/"
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float):
                writer.add_scalar(prefix + name, value, row["step"])
        writer.flush()

    return watch
