"""Tables as spreadsheets write them: in which encoding, and with which sign between columns."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["read_text", "separator_of"]

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}  # Excel writes semicolons where commas mark decimals
FOR_EXCEL = re.compile(r"\A\"?sep=[,;\t]\"?\r?\n", re.IGNORECASE)
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 where its first bytes say so (Excel's "Unicode text").

    A first line such as `sep=;`, which tells Excel how to open the file, is left out.

    Raises:
        OSError: It cannot be read.
        ValueError: It is in neither.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("its text is neither UTF-8 nor UTF-16; save it as CSV UTF-8") from None
    return FOR_EXCEL.sub("", text)


def separator_of(text: str, is_header: Callable[[list[str]], bool]) -> str:
    """Return the sign between the columns of a table.

    Args:
        text: The table.
        is_header: Whether these names of columns, in small letters, are a header of such a table.

    Raises:
        ValueError: With no sign the first line is one.
    """
    first = next(iter(text.splitlines()), "")
    for separator in SEPARATORS:
        names = next(csv.reader([first], delimiter=separator), [])
        if is_header([name.strip().lower() for name in names]):
            return separator
    found = [word for separator, word in SEPARATORS.items() if separator in first]
    between = "one column"
    if found:
        between = f"{' and '.join(found)} between its columns"
    raise ValueError(f"its first line has {between}: {first[:60]!r}")
