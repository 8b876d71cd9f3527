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
    from prosect.jobs.evaluate_masks import EvaluateMasksJob
    from prosect.jobs.finetune import FinetuneJob
    from prosect.jobs.inputs import ModelChoice, ScanInput
    from prosect.jobs.job import Job
    from prosect.jobs.lists import ListInput
    from prosect.jobs.segment import Segmented, SegmentJob
    from prosect.jobs.verify import Checked, Verification, VerifyJob

_HOMES = {
    "Checked": "prosect.jobs.verify",
    "ClickJob": "prosect.jobs.click",
    "Clicked": "prosect.jobs.click",
    "CohortJob": "prosect.jobs.cohort",
    "Edited": "prosect.jobs.click",
    "EvaluateJob": "prosect.jobs.evaluate",
    "EvaluateMasksJob": "prosect.jobs.evaluate_masks",
    "Evaluated": "prosect.jobs.evaluate",
    "FinetuneJob": "prosect.jobs.finetune",
    "Job": "prosect.jobs.job",
    "ListInput": "prosect.jobs.lists",
    "ModelChoice": "prosect.jobs.inputs",
    "PlacedClick": "prosect.jobs.click",
    "Resumed": "prosect.jobs.click",
    "ScanInput": "prosect.jobs.inputs",
    "SegmentJob": "prosect.jobs.segment",
    "Segmented": "prosect.jobs.segment",
    "Verification": "prosect.jobs.verify",
    "VerifyJob": "prosect.jobs.verify",
}

__all__ = [
    "Checked",
    "ClickJob",
    "Clicked",
    "CohortJob",
    "Edited",
    "EvaluateJob",
    "EvaluateMasksJob",
    "Evaluated",
    "FinetuneJob",
    "Job",
    "ListInput",
    "ModelChoice",
    "PlacedClick",
    "Resumed",
    "ScanInput",
    "SegmentJob",
    "Segmented",
    "Verification",
    "VerifyJob",
]

__getattr__ = lazy_names(__name__, _HOMES)
