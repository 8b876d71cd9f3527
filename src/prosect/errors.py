"""Every error a caller can cause. Each kind has a stable code and a command-line exit status."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CancelledError",
    "CheckpointError",
    "FormatError",
    "GeometryError",
    "LedgerError",
    "OutputError",
    "PromptError",
    "ProsectError",
    "ProsectWarning",
    "RecipeError",
    "ResourceError",
    "SessionError",
    "UsageError",
    "VocabularyError",
]


class ProsectError(Exception):
    """Base of every error a caller can cause.

    Args:
        message: What was found (with the value), what is needed, what to do.
        code: Stable identifier of the exact cause, for scripts (`INPUT_TRUNCATED`); the class default otherwise.
    """

    default_code: ClassVar[str] = "PROSECT"
    exit_status: ClassVar[int] = 3

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class GeometryError(ProsectError):
    """The voxel-to-world geometry is missing, singular or contradictory."""

    default_code = "GEOMETRY_INVALID"


class FormatError(ProsectError):
    """A file is not the image it claims to be, or cannot be written as asked."""

    default_code = "INPUT_NOT_AN_IMAGE"


class OutputError(FormatError):
    """A result cannot be written where or as it was asked for."""

    default_code = "OUTPUT_UNWRITABLE"


class SessionError(FormatError):
    """A session cannot be resumed: its file is damaged, or belongs to another scan or model."""

    default_code = "SESSION_FILE"


class LedgerError(FormatError):
    """A folder holds the results of another run."""

    default_code = "RUN_CHANGED"


class UsageError(FormatError):
    """A call or command asks for something that does not go together."""

    default_code = "USAGE"
    exit_status = 2


class CheckpointError(ProsectError):
    """Model weights are unsafe, damaged or belong to another network."""

    default_code = "MODEL_CORRUPT"
    exit_status = 6


class PromptError(ProsectError):
    """A click or a class prompt cannot be honoured as given."""

    default_code = "PROMPT_INVALID"


class VocabularyError(PromptError):
    """A structure is unknown to, or not supported by, the chosen vocabulary."""

    default_code = "STRUCTURE_UNKNOWN"


class RecipeError(ProsectError):
    """A training recipe or data list is inconsistent."""

    default_code = "RECIPE_INVALID"


class ResourceError(ProsectError):
    """Memory, disk space or a device is not sufficient for what was asked."""

    default_code = "RESOURCE_EXHAUSTED"
    exit_status = 5


class CancelledError(ProsectError):
    """Someone asked a computation to end before it was done."""

    default_code = "CANCELLED"
    exit_status = 130


class ProsectWarning(UserWarning):
    """Something was repaired, assumed or left out; the result records it too."""
