"""Two test files of one name stop the whole suite: pytest imports them by their bare names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_every_python_file_below_tests_has_a_name_of_its_own() -> None:
    found = Counter(path.name for path in TESTS.rglob("*.py") if path.name not in ("conftest.py", "__init__.py"))
    assert [name for name, times in found.items() if times > 1] == []
