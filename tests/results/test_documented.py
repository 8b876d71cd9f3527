"""What the reference says of results is so."""

from __future__ import annotations

import re
from pathlib import Path

from prosect.results.statistics import COLUMNS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "results.md").read_text()


def test_the_python_of_the_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(block, "results.md", "exec"), {})


def test_every_column_of_the_table_is_explained() -> None:
    families = {re.sub(r"^(bbox)_[ijk]", r"\1_i", column) for column in COLUMNS}
    assert all(f"`{column}`" in PAGE for column in families)
