"""What one scan's results are: which files a request makes, whether they can be made, and making them."""

from prosect.results.refusals import refuse
from prosect.results.report import Parameters, Run
from prosect.results.request import Aggregation, Kind, Request, planned_files, request_for
from prosect.results.writing import write
from prosect.stopwatch import Stopwatch

__all__ = [
    "Aggregation",
    "Kind",
    "Parameters",
    "Request",
    "Run",
    "Stopwatch",
    "planned_files",
    "refuse",
    "request_for",
    "write",
]
