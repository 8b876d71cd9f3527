"""One structure: what it is called, how it is coded, and whether it may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from prosect.errors import VocabularyError

__all__ = ["BACKGROUND", "MAX_INDEX", "SIDES", "STATUSES", "Code", "Laterality", "Status", "Structure"]

Status = Literal["supported", "group", "unsupported", "retired"]
Laterality = Literal["left", "right"]

STATUSES: tuple[str, ...] = get_args(Status)
BACKGROUND = 0
MAX_INDEX = 65535  # the largest value of a uint16 label map


@dataclass(frozen=True, slots=True)
class Code:
    """A concept of a terminology.

    Attributes:
        value: Code value, such as `10200004`.
        meaning: Its name, such as `Liver`.
        scheme: Coding scheme as DICOM designates it; `SCT` is SNOMED CT.
    """

    value: str
    meaning: str
    scheme: str = "SCT"


SIDES: dict[str, Code] = {"left": Code("7771000", "Left"), "right": Code("24028007", "Right")}


@dataclass(frozen=True, slots=True)
class Structure:
    """One entry of a vocabulary.

    Attributes:
        index: Label value and row of the class embeddings, 1 to 65535.
        name: Official name.
        status: `supported` can be segmented; `group` stands for its parts; `unsupported` and `retired` are refused.
        overlapping: Lies inside other structures (a vessel, a tumour), so a flat map puts it above them and no
            everything list holds it.
        ambiguous: Clicks use the special point labels 2 and 3: a click could mean the organ or what lies in it.
        parts: Structures that together make it up.
        contains: Further structures that lie wholly inside it, so a flat map puts them above it.
        everything: Names of the everything lists that hold it.
        modalities: `CT`, `MR`: where it has training data.
        aliases: Other names by which it is found.
        category: What kind of thing it is (DICOM segmented property category).
        snomed: What it is (DICOM segmented property type); None where no code is certain.
        region: Where a lesion or vessel lies (DICOM anatomic region).
        laterality: Its side where the name has one.
        color: Red, green, blue, 0 to 255.
        reason: Why it is not supported, and what to do instead.

    Raises:
        VocabularyError: Index, name, status, side or colour is not valid (`VOCABULARY_INVALID`).
    """

    index: int
    name: str
    status: Status = "supported"
    overlapping: bool = False
    ambiguous: bool = False
    parts: tuple[int, ...] = field(default=(), repr=False)
    contains: tuple[int, ...] = field(default=(), repr=False)
    everything: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()
    category: Code | None = None
    snomed: Code | None = None
    region: Code | None = None
    laterality: Laterality | None = None
    color: tuple[int, int, int] = (128, 128, 128)
    reason: str = ""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise VocabularyError(f"Structure {self.index} '{self.name}': {problem}.", code="VOCABULARY_INVALID")

    def _problem(self) -> str:
        """Return what is wrong, or nothing."""
        if not BACKGROUND < self.index <= MAX_INDEX:
            return f"the index must lie between 1 and {MAX_INDEX}"
        if not self.name.strip() or not self.name.isprintable():
            return "the name must be printable text"
        if self.status not in STATUSES:
            return f"the status '{self.status}' is none of {', '.join(STATUSES)}"
        if self.laterality not in (None, *SIDES):
            return f"the laterality '{self.laterality}' is neither left nor right"
        if len(self.color) != 3 or not all(0 <= channel <= 255 for channel in self.color):
            return f"the colour {self.color} is not three numbers from 0 to 255"
        if self.status == "group" and not self.parts:
            return "a group needs parts"
        return ""

    @property
    def supported(self) -> bool:
        """Whether it can be segmented by its own name."""
        return self.status == "supported"

    @property
    def container(self) -> bool:
        """Whether other structures lie wholly inside it, so that a flat map puts it below them."""
        return bool(self.parts or self.contains)

    @property
    def side(self) -> Code | None:
        """The laterality modifier to send along with `snomed`; None where there is no side or the code says it itself.

        `Left atrium` is a code of its own; `Kidney` needs the modifier.
        """
        if self.laterality is None or self.snomed is None:
            return None
        if self.laterality in self.snomed.meaning.lower().split():
            return None
        return SIDES[self.laterality]
