"""Code gets no denser than it is: the levels reached are in `levels.toml`, and only ever get better."""

from __future__ import annotations

from pathlib import Path

import pytest
from source import FILES, LEVELS, Counts, counts_of

DENSITY = LEVELS["density"]
RULES = {
    "comprehensions": "write a loop with a name for what it collects, or name an intermediate value",
    "nested": "give the inner comprehension a name, or make it a function",
    "ternaries": "write an `if` statement, or name the two cases",
}


@pytest.fixture(scope="module")
def counts() -> Counts:
    """Return the counts of the whole source."""
    return counts_of(FILES)


@pytest.mark.parametrize("kind", list(RULES))
def test_statements_are_no_denser_than_they_were(counts: Counts, kind: str) -> None:
    found, level = counts.per_thousand(getattr(counts, kind)), DENSITY[f"{kind}_per_1000"]
    assert found <= level, (
        f"{found:.2f} {kind} per 1,000 lines; at most {level} (tests/contracts/levels.toml). "
        f"Where you added one, {RULES[kind]}."
    )


def test_comments_are_no_rarer_than_they_were(counts: Counts) -> None:
    found, level = counts.per_thousand(counts.comments) / 10, DENSITY["comment_percent"]
    assert found >= level, (
        f"{found:.2f} % of the lines are comments; at least {level} % (tests/contracts/levels.toml). "
        "Where two facts meet in what you wrote, say why in a line."
    )


def test_functions_and_files_are_no_longer_than_they_were(counts: Counts) -> None:
    for kind, found in (("long_functions", counts.long_functions), ("long_files", counts.long_files)):
        assert len(found) <= DENSITY[kind], (
            f"{len(found)} {kind.replace('_', ' ')}; at most {DENSITY[kind]} (tests/contracts/levels.toml). "
            f"Give the steps of yours functions, or its second subject a file: {', '.join(found)}"
        )


def test_what_is_dense_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("source.SOURCE", tmp_path)
    file = tmp_path / "dense.py"
    long = "\n".join(f"    y = {n}" for n in range(50))
    file.write_text(
        f"# why\nx = [[b for b in a] for a in c]\nz = 1 if x else 2  # not alone on its line\ndef f():\n{long}\n"
    )
    found = counts_of([file])
    assert (found.lines, found.comments, found.comprehensions, found.nested, found.ternaries) == (54, 1, 2, 1, 1)
    assert found.long_functions == ["dense.py:4 f"]
    assert found.long_files == []
