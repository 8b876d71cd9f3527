"""Every error has a code that docs/reference/errors.md explains; the page is made from the code and cannot drift."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """Return the script that makes the page."""
    spec = importlib.util.spec_from_file_location("errors_table", DOCS / "errors_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_code_and_explains_every_code(table: ModuleType) -> None:
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    remade = table.with_table(page, table.codes_raised(table.SOURCE))
    assert remade == page, "run python docs/errors_table.py and fill in the words"
    assert "|  |" not in page


def test_codes_are_found_wherever_they_are_given(table: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'x = FormatError("m", code="ONE")\n'
        'y = GeometryError("m")\n'
        'z = PromptError("m", code="TWO" if x else "THREE")\n'
        'w = PromptError("m", code=f"FOUR_{x}")\n'
    )
    found = table.codes_raised(tmp_path)
    assert sorted(found) == ["FOUR_*", "GEOMETRY_INVALID", "ONE", "THREE", "TWO"]


def test_a_new_code_gets_a_row_without_words_and_an_old_one_goes(table: ModuleType) -> None:
    old = table.HEAD + "| `GONE` | `FormatError` | 3 | a | b |\n| `KEPT` | `FormatError` | 3 | c | d |\n"
    new = table.with_table(old, {"KEPT": {"CheckpointError"}, "NEW": {"FormatError"}})
    assert new == table.HEAD + "| `KEPT` | `CheckpointError` | 6 | c | d |\n| `NEW` | `FormatError` | 3 |  |  |\n"
