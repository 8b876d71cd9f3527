"""What is clicked where supervoxels are known: organs, also less or plus a piece, and pieces alone (VISTA3D, Sec. 3.4).

Most targets are the labelled objects. The others cut one, add to it or leave it, along borders that no label names, so
that the network answers clicks and not its memory of organs. Each target is made of the patch alone. Differs from the
official code, which paints each target into the one label volume that later targets are drawn from, so that an object
could lose voxels to its neighbour's target. Supervoxel 0, which is air, is no piece.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from prosect.boxes import Box
from prosect.errors import RecipeError
from prosect.morphology import Components, dilate, erode

__all__ = ["MODES", "Mode", "SamplerRules", "Target", "Voxel", "sample_targets"]

Mask = NDArray[np.bool_]
Voxel = tuple[int, int, int]
Mode: TypeAlias = Literal["regular", "organ_sub", "organ_add", "zeroshot_unseen", "zeroshot_random"]

MODES: tuple[Mode, ...] = get_args(Mode)
OFFICIAL_MM = 1.5


@dataclass(frozen=True, eq=False)
class Target:
    """One mask to be asked for, and the clicks that ask for it first.

    Attributes:
        mask: What is wanted (i j k).
        value: The labelled object it was made from; 0 where it is a piece of its own.
        mode: How it was made.
        zero_shot: Whether it is no longer the object that its label names.
        positives: First clicks inside; none where the objective decides.
        negatives: First clicks outside.
    """

    mask: Mask
    value: int
    mode: Mode = "regular"
    zero_shot: bool = False
    positives: tuple[Voxel, ...] = ()
    negatives: tuple[Voxel, ...] = ()


@dataclass(frozen=True)
class SamplerRules:
    """How targets are made. Defaults are the official ones, for patches of 128 voxels at 1.5 mm; `at` scales them.

    Attributes:
        shares: How often each of `MODES` is tried; what cannot be made becomes regular.
        regular: Positive clicks on a regular target; 0 leaves its first click to the objective.
        positives: Positive clicks on other targets, in each part that they are drawn from.
        negatives: Negative clicks in what was taken from an organ.
        kept: Probability that `organ_sub` keeps only the piece; otherwise the piece is taken away.
        renamed: Probability that an organ less or plus a piece is a zero-shot object.
        piece: Smallest and largest part of its organ that a piece to keep or to take away may be.
        added: Smallest piece to add, as a part of its organ.
        covered: Part of an organ from which a piece that lies over it takes it in whole.
        smallest: Voxels of the smallest piece that is a target of its own (official: 20 cubed).
        border: Voxels at the faces of the patch that are not clicked first, where the target is cut.
        erosion: Clicks keep so many voxels from the border of their part, and pieces are freed of necks this thin.
    """

    shares: tuple[float, float, float, float, float] = (0.6, 0.1, 0.1, 0.1, 0.1)
    regular: int = 3
    positives: int = 3
    negatives: int = 1
    kept: float = 0.5
    renamed: float = 0.5
    piece: tuple[float, float] = (0.1, 0.9)
    added: float = 0.1
    covered: float = 0.1
    smallest: int = 8000
    border: int = 10
    erosion: int = 1

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-8:
            raise RecipeError(f"The shares of modes are {self.shares}; none may be negative, and they must sum to 1.")
        if min(self.positives, self.negatives) < 1:
            raise RecipeError(
                f"Changed targets get {self.positives} positive and {self.negatives} negative clicks; each must be at "
                "least 1, or nothing tells what was changed."
            )

    def at(self, spacing_mm: float) -> SamplerRules:
        """Return rules whose `smallest` and `border`, stated at 1.5 mm, are the same millimetres at another spacing."""
        ratio = OFFICIAL_MM / spacing_mm
        return replace(self, smallest=max(round(self.smallest * ratio**3), 1), border=round(self.border * ratio))


def sample_targets(
    structures: Sequence[tuple[int, Mask]],
    supervoxels: NDArray[np.integer] | None,
    generator: np.random.Generator,
    rules: SamplerRules | None = None,
    *,
    smallest: int = 12,
    most: int | None = None,
    plain: Collection[int] = (),
) -> list[Target]:
    """Return one target for each of some objects of a patch (VISTA3D, Sec. 3.4 and its released sampler).

    Args:
        structures: All that is labelled in the patch: values and masks (i j k), which may overlap. What is in none of
            them is unlabelled.
        supervoxels: Supervoxel of each voxel (i j k), 0 where there is none; None makes every target regular.
        generator: Decides.
        rules: See `SamplerRules`.
        smallest: Structures of fewer voxels are no objects.
        most: Objects drawn; by default all.
        plain: Values that are always regular: classes whose clicks are ambiguous, and those no branch is taught.

    Raises:
        RecipeError: The border of `rules` leaves nothing of the patch (`RECIPE_INVALID`).
    """
    objects = []
    for each in structures:
        if np.count_nonzero(each[1]) >= smallest:
            objects.append(each)
    if not objects:
        if structures:
            return []
        return _pieces(supervoxels, generator, rules or SamplerRules(), most or 1)
    chosen = []
    for n in generator.permutation(len(objects))[:most]:
        chosen.append(objects[int(n)])
    sampler = _Sampler.of(structures, supervoxels, generator, rules or SamplerRules())
    found = []
    for value, mask in chosen:
        found.append(sampler.target(value, mask, value in plain or supervoxels is None))
    return found


def _pieces(
    supervoxels: NDArray[np.integer] | None,
    generator: np.random.Generator,
    rules: SamplerRules,
    most: int,
) -> list[Target]:
    """Return pieces as targets where nothing is labelled. Differs from the official code, which skips such scans."""
    if supervoxels is None:
        return []
    nowhere = [(0, np.zeros(supervoxels.shape, dtype=np.bool_))]
    sampler = _Sampler.of(nowhere, supervoxels, generator, rules)
    found = (sampler.piece() for _ in range(most))
    rows: list[Target] = []
    for target in found:
        if target is not None:
            rows.append(target)
    return rows


@dataclass(frozen=True, eq=False)
class _Sampler:
    """One patch, its pieces and what of them is targeted already."""

    structures: Sequence[tuple[int, Mask]]
    pieces: NDArray[np.integer]
    unlabelled: Mask
    clickable: Mask
    generator: np.random.Generator
    rules: SamplerRules
    taken: set[int] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        structures: Sequence[tuple[int, Mask]],
        supervoxels: NDArray[np.integer] | None,
        generator: np.random.Generator,
        rules: SamplerRules,
    ) -> _Sampler:
        shape, border = structures[0][1].shape, rules.border
        if 2 * border >= min(shape):
            raise RecipeError(
                f"A border of {border} voxels leaves nothing of a patch of {shape} voxels to click. Scale the rules "
                "with SamplerRules.at, or take larger patches."
            )
        clickable = np.zeros(shape, dtype=np.bool_)
        clickable[tuple(slice(border, n - border) for n in shape)] = True
        pieces: NDArray[np.integer[Any]] = np.zeros(shape, dtype=np.int32)
        if supervoxels is not None:
            pieces = supervoxels
        labelled = np.logical_or.reduce([mask for _, mask in structures])
        return cls(structures, pieces, ~labelled, clickable, generator, rules)

    def piece(self) -> Target | None:
        """Return a large unlabelled part of a piece; None where there is none left."""
        return self._unseen()

    def target(self, value: int, mask: Mask, plain: bool) -> Target:
        """Return the target of one object."""
        if plain:
            made = None
        else:
            made = self._tried(value, mask)
        return made or Target(mask, value, positives=self._clicks(mask, self.rules.regular, anywhere=True))

    def _tried(self, value: int, mask: Mask) -> Target | None:
        """Return a changed target; None where a regular one is drawn, or the patch has no fitting piece."""
        mode = MODES[int(self.generator.choice(len(MODES), p=self.rules.shares))]
        makers: dict[Mode, Callable[[], Target | None]] = {
            "organ_sub": lambda: self._sub(value, mask),
            "organ_add": lambda: self._add(value, mask),
            "zeroshot_unseen": self._unseen,
            "zeroshot_random": self._random,
        }
        if mode in makers:
            return makers[mode]()
        return None

    def _sub(self, value: int, organ: Mask) -> Target | None:
        """Return the part of an organ in one piece, or the organ without it."""
        # Drawn before any piece is tried: how many fit must not change what is drawn next.
        keep = self.generator.random() < self.rules.kept
        low, high = (share * np.count_nonzero(organ) for share in self.rules.piece)
        for piece in self._drawn(organ, low):
            inside = self._freed((self.pieces == piece) & organ)
            if not low <= np.count_nonzero(inside) <= high:
                continue
            if keep:
                kept, removed = (inside, organ & ~inside)
            else:
                kept, removed = (organ & ~inside, inside)
            positives = self._clicks(kept, self.rules.positives)
            negatives = self._clicks(removed, self.rules.negatives)
            if positives and negatives:
                return Target(kept, value, "organ_sub", keep or self._renamed(), positives, negatives)
        return None

    def _add(self, value: int, organ: Mask) -> Target | None:
        """Return an organ together with an unlabelled part of a piece that reaches into it."""
        low = self.rules.added * np.count_nonzero(organ)
        near, box = dilate(organ, self.rules.erosion + 1), Box.of(organ).slices
        beside = np.zeros_like(organ)
        beside[box] = True  # official: a click far from the organ would ask for something else
        for piece in self._drawn(organ, 1):
            part = (self.pieces == piece) & self.unlabelled
            if np.count_nonzero(part) < low:
                continue
            added = self._freed(part, near)
            positives = self._clicks(added, self.rules.positives, beside)
            if np.count_nonzero(added) < low or not positives:
                continue
            positives += self._clicks(organ, self.rules.positives, anywhere=True)
            return Target(organ | added, value, "organ_add", self._renamed(), positives)
        return None

    def _unseen(self) -> Target | None:
        """Return a large unlabelled part of a piece."""
        for piece in self._drawn(self.unlabelled, self.rules.smallest):
            mask = self._freed((self.pieces == piece) & self.unlabelled)
            if np.count_nonzero(mask) < self.rules.smallest:
                continue
            if positives := self._clicks(mask, self.rules.positives):
                self.taken.add(piece)
                return Target(mask, 0, "zeroshot_unseen", True, positives)
        return None

    def _random(self) -> Target | None:
        """Return a large piece together with all organs that it covers a good part of.

        Differs from the official code in that objects which are asked for in the same patch may be taken in, too.
        """
        for piece in self._drawn(self.unlabelled, 1):
            core = self._freed(self.pieces == piece)
            rest = self._clicks(core & self.unlabelled, self.rules.positives)
            if np.count_nonzero(core) < self.rules.smallest or not rest:
                continue
            over = []
            for _, organ in self.structures:
                if self._covers(core, organ):
                    over.append(organ)
            own = [voxel for organ in over for voxel in self._clicks(core & organ, 1)]
            self.taken.add(piece)
            return Target(np.logical_or.reduce([core, *over]), 0, "zeroshot_random", True, (*own, *rest))
        return None

    def _drawn(self, where: Mask, least: float) -> Iterator[int]:
        """Yield in random order the pieces with at least so many voxels there."""
        counts = np.bincount(self.pieces[where])
        found = []
        for n in np.flatnonzero(counts >= max(least, 1)):
            if n and int(n) not in self.taken:
                found.append(int(n))
        yield from (found[int(n)] for n in self.generator.permutation(len(found)))

    def _freed(self, mask: Mask, near: Mask | None = None) -> Mask:
        """Return the largest part of a mask that hangs together without thin necks, of those that meet `near`.

        Differs from the official code, which never considers the last component when an organ is grown.
        """
        core = erode(mask, self.rules.erosion, beyond=True)
        parts = Components.of(core)
        sizes = parts.sizes
        if near is not None:
            sizes = sizes * np.isin(np.arange(parts.count), _holding(parts, core & near))
        if not sizes.any():
            return np.zeros_like(mask)
        return dilate(parts.mask([int(sizes.argmax())]), self.rules.erosion) & mask

    def _clicks(self, part: Mask, count: int, within: Mask | None = None, anywhere: bool = False) -> tuple[Voxel, ...]:
        """Return up to `count` voxels of a part, away from its border and the patch's; `anywhere` where none is."""
        inner = erode(part, self.rules.erosion, beyond=True) & self.clickable
        places = np.flatnonzero(inner if within is None else inner & within)
        if anywhere and not len(places):
            places = np.flatnonzero(part)
        drawn = places
        if len(places):
            drawn = self.generator.choice(places, min(count, len(places)), replace=False)
        i, j, k = np.unravel_index(drawn, part.shape)
        return tuple(zip(i.tolist(), j.tolist(), k.tolist(), strict=True))

    def _covers(self, core: Mask, organ: Mask) -> bool:
        return bool(np.count_nonzero(core & organ) > self.rules.covered * np.count_nonzero(organ))

    def _renamed(self) -> bool:
        return bool(self.generator.random() < self.rules.renamed)


def _holding(parts: Components, inside: Mask) -> list[int]:
    """Return the components that hold some of `inside`, all of which lies in them."""
    pieces = Components.of(inside)
    firsts = np.unique(pieces.labels, return_index=True)[1]
    lines = zip(*np.unravel_index(pieces.lines[firsts], pieces.shape[:-1]), pieces.starts[firsts], strict=True)
    found = []
    for voxel in lines:
        part = parts.at(list(map(int, voxel)))
        if part is not None:
            found.append(part)
    return found
