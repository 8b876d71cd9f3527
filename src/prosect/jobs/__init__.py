"""What can be asked for, as data: frozen, picklable, JSON-able requests that know their identity and run.

The command line, a server, a cluster worker and a notebook each make a job and run it; none has logic of its own.
A job is loaded on first use, because some bring torch and reading one need not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prosect.lazy import lazy_names

if TYPE_CHECKING:
    from prosect.jobs.click import Clicked, ClickJob, Edited, PlacedClick, Resumed
    from prosect.jobs.cohort import CohortJob
    from prosect.jobs.evaluate import Evaluated, EvaluateJob
    from prosect.jobs.evaluate_compare import EvaluateCompareJob
    from prosect.jobs.evaluate_masks import EvaluateMasksJob
    from prosect.jobs.few_shots import FewShotJob, FewShots
    from prosect.jobs.finetune import FinetuneJob
    from prosect.jobs.inputs import ModelChoice, ScanInput
    from prosect.jobs.job import Job
    from prosect.jobs.lists import ListInput
    from prosect.jobs.phantom import PhantomJob
    from prosect.jobs.pseudo_label import PseudoLabelJob, PseudoLabelled
    from prosect.jobs.segment import Segmented, SegmentJob
    from prosect.jobs.supervoxels import Supervoxels, SupervoxelsJob
    from prosect.jobs.train import TrainJob
    from prosect.jobs.verify import Checked, Verification, VerifyJob

_HOMES = {
    "Checked": "prosect.jobs.verify",
    "ClickJob": "prosect.jobs.click",
    "Clicked": "prosect.jobs.click",
    "CohortJob": "prosect.jobs.cohort",
    "Edited": "prosect.jobs.click",
    "EvaluateCompareJob": "prosect.jobs.evaluate_compare",
    "EvaluateJob": "prosect.jobs.evaluate",
    "EvaluateMasksJob": "prosect.jobs.evaluate_masks",
    "Evaluated": "prosect.jobs.evaluate",
    "FewShotJob": "prosect.jobs.few_shots",
    "FewShots": "prosect.jobs.few_shots",
    "FinetuneJob": "prosect.jobs.finetune",
    "Job": "prosect.jobs.job",
    "ListInput": "prosect.jobs.lists",
    "ModelChoice": "prosect.jobs.inputs",
    "PhantomJob": "prosect.jobs.phantom",
    "PlacedClick": "prosect.jobs.click",
    "PseudoLabelJob": "prosect.jobs.pseudo_label",
    "PseudoLabelled": "prosect.jobs.pseudo_label",
    "Resumed": "prosect.jobs.click",
    "ScanInput": "prosect.jobs.inputs",
    "SegmentJob": "prosect.jobs.segment",
    "Segmented": "prosect.jobs.segment",
    "Supervoxels": "prosect.jobs.supervoxels",
    "SupervoxelsJob": "prosect.jobs.supervoxels",
    "TrainJob": "prosect.jobs.train",
    "Verification": "prosect.jobs.verify",
    "VerifyJob": "prosect.jobs.verify",
}

__all__ = [
    "Checked",
    "ClickJob",
    "Clicked",
    "CohortJob",
    "Edited",
    "EvaluateCompareJob",
    "EvaluateJob",
    "EvaluateMasksJob",
    "Evaluated",
    "FewShotJob",
    "FewShots",
    "FinetuneJob",
    "Job",
    "ListInput",
    "ModelChoice",
    "PhantomJob",
    "PlacedClick",
    "PseudoLabelJob",
    "PseudoLabelled",
    "Resumed",
    "ScanInput",
    "SegmentJob",
    "Segmented",
    "Supervoxels",
    "SupervoxelsJob",
    "TrainJob",
    "Verification",
    "VerifyJob",
]

__getattr__ = lazy_names(__name__, _HOMES)
