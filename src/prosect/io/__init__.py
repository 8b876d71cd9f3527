"""Reading scans and labels, writing results: `read`, `read_labels`, `write`, `write_mask`, `check_writable`.

They are loaded on first use, so that the table of formats can be asked without loading any library for images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prosect.lazy import lazy_names

if TYPE_CHECKING:
    from prosect.io.reading import read, read_labels
    from prosect.io.stored import StoredLabels
    from prosect.io.writing import check_writable, write, write_mask

_HOMES = {
    "StoredLabels": "prosect.io.stored",
    "check_writable": "prosect.io.writing",
    "read": "prosect.io.reading",
    "read_labels": "prosect.io.reading",
    "write": "prosect.io.writing",
    "write_mask": "prosect.io.writing",
}

__all__ = ["StoredLabels", "check_writable", "read", "read_labels", "write", "write_mask"]

__getattr__ = lazy_names(__name__, _HOMES)
