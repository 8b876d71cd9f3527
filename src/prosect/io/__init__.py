"""Reading scans and labels, writing results: `read`, `read_labels`, `write`, `write_mask`, `check_writable`."""

from prosect.io.reading import read, read_labels
from prosect.io.stored import StoredLabels
from prosect.io.writing import check_writable, write, write_mask

__all__ = ["StoredLabels", "check_writable", "read", "read_labels", "write", "write_mask"]
