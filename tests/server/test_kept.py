"""Kept files: what was written is read again, and what is damaged is refused with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prosect.errors import FormatError
from prosect.server.kept import Kind

WORDS = Kind("prosect-words", 2, "the list of words")


def words(document: Mapping[str, Any]) -> list[str]:
    return [str(word) for word in document["words"]]


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    WORDS.write(tmp_path / "words.json", {"words": ["ä", "b"]})
    assert WORDS.read(tmp_path / "words.json", words) == ["ä", "b"]


def test_a_file_that_is_not_there_yet_is_nothing(tmp_path: Path) -> None:
    assert WORDS.read(tmp_path / "words.json", words) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"format": "prosect-words", "version": 1, "words": []}', b"\xff",
     b'{"format": "prosect-index", "version": 2, "words": []}', b'{"format": "prosect-words", "version": 2}'],
)  # fmt: skip
def test_a_damaged_file_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "words.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"words\.json: the list of words is damaged .* Move it away") as refused:
        WORDS.read(path, words)
    assert refused.value.code == "INDEX_DAMAGED"
    assert path.read_bytes() == content


def test_what_json_has_no_word_for_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    WORDS.write(path, {"words": ["a"]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        WORDS.write(path, {"words": [float("nan")]})
    assert WORDS.read(path, words) == ["a"]
