"""What clients of the native protocol send. Every key is known, every number finite, every text bounded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AppearanceBody",
    "ClickBody",
    "DraftBody",
    "OpenBody",
    "Problem",
    "RenameBody",
    "SaveBody",
    "SessionBody",
    "ShapeBody",
    "StrokeBody",
    "StructureBody",
    "TrainingSetBody",
]

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e7, le=1e7)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Position = Annotated[list[Number], Field(min_length=3, max_length=3)]
Voxel = Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=3, max_length=3)]


class Strict(BaseModel):
    """A body in which every key is known."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """A refusal (RFC 9457), with the code that the command line gives."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class OpenBody(Strict):
    """Which scan below which root."""

    root: Name
    path: Annotated[str, Field(max_length=1024)] = ""
    series: Annotated[str | None, Field(max_length=200)] = None


class SessionBody(Strict):
    """A new session."""

    scan_id: Name
    overlap: Literal["allow", "take", "keep"] = "allow"
    near_miss_mm: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 3.0


class ClickBody(Strict):
    """A click; `space` must be said, as nobody should guess it."""

    structure: Name
    position: Position
    space: Literal["ras", "lps", "voxel"]
    positive: bool = True
    voxel: Position | None = None


class StrokeBody(Strict):
    """The path of a brush, in mm, in one plane of the display copy."""

    structure: Name
    kind: Literal["paint", "erase"]
    path: Annotated[list[Position], Field(min_length=1, max_length=5000)]
    radius_mm: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    axis: Annotated[int | None, Field(ge=0, le=2)] = None


class ShapeBody(Strict):
    """A box by two corners or a lasso by its outline, in mm, in one plane of the display copy."""

    structure: Name
    kind: Literal["box", "lasso"]
    path: Annotated[list[Position], Field(min_length=2, max_length=5000)]
    axis: Annotated[int, Field(ge=0, le=2)]
    positive: bool = True


class DraftBody(Strict):
    """What to draft."""

    structures: list[Name] | Literal["everything"] = "everything"
    model: Name | None = None


class StructureBody(Strict):
    """A structure."""

    structure: Name


class AppearanceBody(Strict):
    """What to change of a structure; what is not given stays."""

    locked: bool | None = None
    colour: Annotated[str | None, Field(pattern="^#[0-9a-fA-F]{6}$")] = None
    visible: bool | None = None


class SaveBody(Strict):
    """Where to save, below the output root."""

    output: Annotated[str, Field(min_length=1, max_length=1024)]
    format: str = "nii.gz"


class RenameBody(Strict):
    """A structure and its new name."""

    structure: Name
    name: Name


class TrainingSetBody(Strict):
    """Where to write scans and labels for a finetuning, below the output root, and of which sessions."""

    output: Annotated[str, Field(min_length=1, max_length=1024)]
    sessions: Annotated[list[Name] | None, Field(max_length=1000)] = None
    structures: Annotated[list[Name] | None, Field(max_length=254)] = None
