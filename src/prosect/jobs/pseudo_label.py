"""Label the scans of a list by another model, for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import prosect
from prosect import vocabulary as vocabularies
from prosect.data.datalist import DataList, Entry, write_datalist
from prosect.data.labelled import LabelledScan
from prosect.data.labels import read_manual
from prosect.errors import CancelledError, CheckpointError, ProsectError
from prosect.io.atomic import make_folder
from prosect.jobs.inputs import ModelChoice
from prosect.jobs.job import Job
from prosect.jobs.lists import ListInput
from prosect.models import Finds
from prosect.training.pseudo import LEAST_DICE, PseudoLabels, from_model, from_totalsegmentator, judge
from prosect.training.pseudo_ledger import PseudoLedger
from prosect.vocabulary import Vocabulary
from prosect.volume import Volume

__all__ = ["PseudoLabelJob", "PseudoLabelled"]

LEDGER, LIST_NAME = "ledger.jsonl", "list.json"

# Told of each scan: its name, and its labels or why there are none.
OnScan = Callable[[str, PseudoLabels | ProsectError], None]


def ignore(_name: str, _found: PseudoLabels | ProsectError) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class PseudoLabelled:
    """What came of labelling a list.

    Attributes:
        list_file: The list with the pseudo-labels.
        refused: Number of scans that could not be labelled.
    """

    list_file: Path
    refused: int


class Labeller(Protocol):
    """Where labels come from."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The structures that its labels name."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides its labels, as plain data."""

    def label(self, entry: Entry, volume: Volume) -> PseudoLabels:
        """Return the labels of a scan, on its grid."""


@dataclass(frozen=True)
class ModelLabeller:
    """Labels that a model finds.

    Attributes:
        model: Who is asked.
        classes: Only these structures; None for all that it knows.
    """

    model: Finds
    classes: tuple[str, ...] | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's."""
        return self.model.vocabulary

    @property
    def identity(self) -> Mapping[str, Any]:
        """The model's."""
        return self.model.identity

    def label(self, _entry: Entry, volume: Volume) -> PseudoLabels:
        """Return what the model finds in a scan."""
        return from_model(volume, self.model, self.classes)


@dataclass(frozen=True)
class TotalSegmentatorLabeller:
    """Labels that TotalSegmentator left in a folder.

    Attributes:
        folder: See `from_totalsegmentator`.
        scheme: What values mean where a file does not name them.
    """

    folder: Path
    scheme: str

    @property
    def vocabulary(self) -> Vocabulary:
        """Ours, into which its names are brought."""
        return vocabularies.load("prosect")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Folder and scheme."""
        return {"totalsegmentator": self.folder.name, "scheme": self.scheme}

    def label(self, entry: Entry, volume: Volume) -> PseudoLabels:
        """Return what lies in the folder for a scan."""
        return from_totalsegmentator(self.folder, entry.name, volume.grid, self.vocabulary, self.scheme)


@dataclass(frozen=True)
class PseudoLabelJob(Job):
    """Label every scan of a list that is not labelled yet, and write a list that names the labels.

    Attributes:
        scans: The list.
        output: Folder of the labels, of what is known about them, and of the list.
        model: Who labels.
        classes: Only these structures; None for all that the model knows.
        totalsegmentator: Folder of TotalSegmentator's results, which are taken in place of a model's.
        scheme: What values of these mean where a file does not name them.
        least_dice: Mean Dice with manual labels of the same structures below which pseudo-labels are not to be used.
        overwrite: Label scans anew that are labelled.
    """

    kind: ClassVar[str] = "pseudo-label"

    scans: ListInput
    output: Path
    model: ModelChoice = field(default_factory=ModelChoice)
    classes: tuple[str, ...] | None = None
    totalsegmentator: Path | None = None
    scheme: str = "totalsegmentator-v2"
    least_dice: float = LEAST_DICE
    overwrite: bool = False

    def labeller(self) -> Labeller:
        """Return where labels come from.

        Raises:
            ProsectError: The model cannot be loaded.
            CheckpointError: It finds nothing by itself (`MODEL_NO_AUTOMATIC`).
        """
        if self.totalsegmentator is not None:
            return TotalSegmentatorLabeller(self.totalsegmentator, self.scheme)
        return ModelLabeller(prosect.require_finds(self.model.load()), self.classes)

    def identity(self, labeller: Labeller) -> dict[str, Any]:
        """Return what decides the labels: those of different identities never share a folder."""
        if self.classes is None:
            structures = None
        else:
            structures = list(self.classes)
        return {**labeller.identity, "structures": structures, "least_dice": self.least_dice}

    def run(
        self, labeller: Labeller | None = None, datalist: DataList | None = None, *, on_scan: OnScan = ignore
    ) -> PseudoLabelled:
        """Label the scans and write the list; killed at any time, the same job goes on.

        Args:
            labeller: Where labels come from; by default as the job says.
            datalist: The scans, where they are read already, such as from a folder without labels.
            on_scan: Told of each scan that this run has looked at.

        Raises:
            ProsectError: The list, the model or the folder cannot be used; a single scan is noted as refused.
        """
        scans = datalist or self.scans.read()
        make_folder(self.output)
        source = labeller or self.labeller()
        if not scans.mappings:
            # Nothing but the pseudo-labels names structures, so their vocabulary is the list's.
            scans = replace(scans, vocabulary=source.vocabulary)
        ledger = PseudoLedger.open(self.output / LEDGER, self.identity(source), self.overwrite)
        for entry in scans:
            if entry.name in ledger.labelled and self.label_file(entry).exists():
                continue
            try:
                found = self.label(entry, scans, source)
            except (CancelledError, CheckpointError):
                # These concern every scan: none would end otherwise.
                raise
            except ProsectError as error:
                ledger.refuse(entry.name, error)
                on_scan(entry.name, error)
                continue
            ledger.add(entry.name, found)
            on_scan(entry.name, found)
        list_file = write_datalist(self.labelled_list(scans, ledger), self.output / LIST_NAME)
        return PseudoLabelled(list_file, len(ledger.refused))

    def label_file(self, entry: Entry) -> Path:
        """Return where the labels of a scan lie."""
        return self.output / f"{entry.name}.nii.gz"

    def label(self, entry: Entry, datalist: DataList, labeller: Labeller) -> PseudoLabels:
        """Return the labels of a scan, written and compared with its manual labels where it has some.

        Raises:
            ProsectError: The scan, its labels or the place cannot be used.
        """
        volume = prosect.read(entry.image)
        found = labeller.label(entry, volume)
        if entry.label is None:
            judged = judge(found)
        else:
            labels = read_manual(entry, datalist, volume.grid, self.scans.tolerance_mm)
            manual = LabelledScan(entry.name, volume, labels, datalist.known(entry), entry.dataset)
            judged = judge(found, manual, self.least_dice)
        prosect.write(judged.labels, self.label_file(entry))
        return judged

    def labelled_list(self, datalist: DataList, ledger: PseudoLedger) -> DataList:
        """Return the list with the pseudo-labels that there are now."""
        entries: list[Entry] = []
        for entry in datalist:
            case = ledger.labelled.get(entry.name)
            if case is not None:
                entry = replace(entry, pseudo_label=self.label_file(entry), reliability=case.reliability)
            entries.append(entry)
        known: set[int] = set()
        for case in ledger.labelled.values():
            known |= set(case.known)
        return replace(datalist, entries=tuple(entries), pseudo_classes=tuple(sorted(known)))
