"""Flags of TotalSegmentator that mean nothing here, so that a script of it goes on working or is told why not.

Those that mean something are flags of `segment` itself. Each of the others is either taken with a note on standard
error, because the result is what the script wants without it, or refused with the nearest way.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

__all__ = ["NEEDLESS", "REFUSED", "Foreign", "add_foreign"]


@dataclass(frozen=True)
class Foreign:
    """A flag that means nothing here.

    Attributes:
        names: How it is written.
        word: Why it is not needed, or what to do in its place.
        values: How many values follow it, as argparse counts them.
    """

    names: tuple[str, ...]
    word: str
    values: int | str = 0


BOUNDED = "memory is bounded without it; --dry-run says how much is needed"
SMOOTH = "labels follow interpolated probabilities on the scan's own grid already"
WHOLE = "no coarser model crops the scan first: the model looks at all of it"

NEEDLESS = (
    Foreign(("-nr", "--nr_thr_resamp"), "threads are as many as OMP_NUM_THREADS or the processor allows", 1),
    Foreign(("-ns", "--nr_thr_saving"), "masks are written side by side already", 1),
    Foreign(("-ro", "--resampling_order"), "scans are interpolated linearly, whatever is given", 1),
    Foreign(("-t", "--nora_tag"), "nothing is sent to Nora", 1),
    Foreign(("-ms", "--model_size"), "a model has one size; -m chooses the model", 1),
    Foreign(("-rc", "--robust_crop"), WHOLE),
    Foreign(("-cp", "--crop_path"), WHOLE, 1),
    Foreign(("-bs", "--body_seg"), BOUNDED),
    Foreign(("-fs", "--force_split"), BOUNDED),
    Foreign(
        ("-ho", "--higher_order_resampling", "--high_order_resampling", "--higher_order_resampling_LEGACY"), SMOOTH
    ),
    Foreign(("-ss", "--skip_saving"), "labels are written all the same, so that the numbers can be checked on them"),
    Foreign(
        ("-sii", "--stats_include_incomplete"),
        "structures that reach the edge of the scan are always in the statistics, with touches_border",
    ),
    Foreign(("-ndm", "--no_derived_masks"), "no mask is derived from others"),
    Foreign(("-l", "--license_number"), "the shipped models need no licence number", 1),
)
REFUSED = (
    Foreign(
        ("-sl", "--save_lowres"),
        "labels always lie on the scan's own grid; for a coarser result, resample the scan first",
    ),
    Foreign(("-v1o", "--v1_order"), "label values are those of `prosect labels`; --renumber counts from 1"),
    Foreign(("--test",), "it is for TotalSegmentator's own tests; `prosect doctor` looks at this installation", 1),
)


class Needless(argparse.Action):
    """Keep the note on a flag that is not needed."""

    def __init__(self, *args: Any, word: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.word = word

    def __call__(self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, *rest: Any) -> None:
        """Keep it for when the command runs; `-q` silences it there."""
        flag = rest[-1]
        namespace.flag_notes = (*namespace.flag_notes, f"{flag} is not needed: {self.word}")


class Refused(Needless):
    """Leave with the nearest way."""

    def __call__(self, parser: argparse.ArgumentParser, _namespace: argparse.Namespace, *rest: Any) -> None:
        """Leave with status 2."""
        parser.error(f"{rest[-1]} is not offered: {self.word}")


def add_foreign(parser: argparse.ArgumentParser) -> None:
    """Add the flags, which help does not list; their notes gather in `flag_notes`."""
    parser.set_defaults(flag_notes=())
    for flags, action in ((NEEDLESS, Needless), (REFUSED, Refused)):
        for flag in flags:
            parser.add_argument(
                *flag.names, action=action, nargs=flag.values, word=flag.word, dest="flag_notes",
                default=argparse.SUPPRESS, help=argparse.SUPPRESS,
            )  # fmt: skip
