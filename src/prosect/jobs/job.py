"""What every job is: frozen data that JSON can hold, and that is refused by name where it cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from prosect.errors import UsageError
from prosect.plain_data import from_plain, to_plain

__all__ = ["Job", "job_error"]


class Job:
    """A request that can be kept, sent and run.

    Attributes:
        kind: What is asked for, in a word; the JSON carries it as `job`.
    """

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain data."""
        return {"job": self.kind, **to_plain(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Return the job that `to_json` gave.

        Raises:
            UsageError: It is another job, or has an unknown key or a value of the wrong type (`JOB_INVALID`).
        """
        if not isinstance(data, Mapping) or data.get("job") != cls.kind:
            raise job_error(f"{data!r:.60} is no job '{cls.kind}'; it must be a table with `job` = '{cls.kind}'.")
        own = {}
        for key, value in data.items():
            if key != "job":
                own[key] = value
        return from_plain(cls, own, f"job '{cls.kind}'", job_error)


def job_error(message: str) -> UsageError:
    """Return the refusal of a job that cannot be meant."""
    return UsageError(message, code="JOB_INVALID")
