"""Tables are read as spreadsheets save them, and what cannot be read says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from prosect.data.tables import read_text, separator_of

TEXT = "image;label\nLéa.nii.gz;1\n"


def has_image(names: list[str]) -> bool:
    return "image" in names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
def test_a_table_reads_alike_in_every_encoding_that_spreadsheets_write(tmp_path: Path, encoding: str) -> None:
    marks = {"utf-16-le-bom": (b"\xff\xfe", "utf-16-le"), "utf-16-be-bom": (b"\xfe\xff", "utf-16-be")}
    mark, codec = marks.get(encoding, (b"", encoding))
    (tmp_path / "list.csv").write_bytes(mark + TEXT.encode(codec))
    assert read_text(tmp_path / "list.csv") == TEXT


@pytest.mark.parametrize("line", ["sep=;\r\n", "SEP=;\n", '"sep=;"\n'])
def test_a_line_for_excel_is_no_header(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.csv").write_bytes((line + TEXT).encode())
    assert read_text(tmp_path / "list.csv") == TEXT


def test_text_in_an_old_encoding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(TEXT.encode("latin-1"))
    with pytest.raises(ValueError, match="neither UTF-8 nor UTF-16; save it as CSV UTF-8"):
        read_text(tmp_path / "list.csv")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_the_sign_between_columns_is_the_one_that_gives_a_header(sign: str) -> None:
    assert separator_of(f"IMAGE {sign} label\na{sign}b\n", has_image) == sign


def test_a_sign_within_quotes_separates_nothing() -> None:
    assert separator_of('image;"a, b"\n', has_image) == ";"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("scan only", "one column"),
        ("a,b", "commas between its columns"),
        ("a,b;c", "commas and semicolons between its columns"),
        ("", "one column"),
    ],
)
def test_a_table_without_a_header_is_refused_with_what_it_has(first: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        separator_of(f"{first}\nrow\n", has_image)


def test_a_long_first_line_is_shortened_in_the_message() -> None:
    with pytest.raises(ValueError, match="first line") as caught:
        separator_of("x" * 500, has_image)
    assert len(str(caught.value)) < 150
