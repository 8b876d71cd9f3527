"""A click as clients send it, and whether page and server mean the same voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prosect.errors import PromptError
from prosect.session import Session

__all__ = ["Click", "refuse_disagreement"]

HALF_A_VOXEL = 0.51  # and a little for rounding


@dataclass(frozen=True)
class Click:
    """A click as a client sends it.

    Attributes:
        structure: Name or index.
        position: Three numbers.
        space: `ras`, `lps` or `voxel`.
        positive: Its sign.
        voxel: Where the client thinks that is (i j k as stored), to be compared; None where it does not say.
        extent_mm: How large the target is about, or None.
    """

    structure: str
    position: Sequence[float]
    space: str
    positive: bool = True
    voxel: Sequence[float] | None = None


def refuse_disagreement(click: Click, session: Session) -> None:
    """Refuse a click whose voxel is not where its position is: the client has another idea of the axes.

    Raises:
        PromptError: They are more than half a voxel apart (`CLICK_DISAGREES`).
    """
    if click.voxel is None or click.space == "voxel":
        return
    given = [float(number) for number in click.position]
    world = [-given[0], -given[1], given[2]] if click.space == "lps" else given
    computed = session.volume.grid.to_voxel([world])[0]
    apart = max(abs(float(one) - float(two)) for one, two in zip(computed, click.voxel, strict=True))
    if apart > HALF_A_VOXEL:
        raise PromptError(
            f"The click at {click.position} mm lies in voxel {computed.round(1).tolist()}, but the client says "
            f"{list(click.voxel)}. Report this: page and server disagree about the axes.",
            code="CLICK_DISAGREES",
        )
