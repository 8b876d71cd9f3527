"""The private header that Siemens scanners put into (0029,xx10): a list of named values in a format of their own.

Nothing public describes it; the layout was worked out by readers of MR images and is the same in nibabel and dcm2niix.
A list of type 2 begins with `SV10`, one of type 1 with the number of its tags. Each tag has a name, and items that are
text. All numbers are little endian.
"""

from __future__ import annotations

import struct

__all__ = ["csa_values"]

MAGIC = b"SV10"
# Every tag ends its head with one of these two numbers.
CHECKS = (77, 205)
TAG_HEAD = struct.Struct("<64si4siii")
ITEM_HEAD = struct.Struct("<4i")
MAX_TAGS = 1000


def csa_values(raw: bytes) -> dict[str, list[str]]:
    """Return the values in a private header by the name of their tag, as text; empty items are left out.

    Raises:
        ValueError: The bytes are no such header, or end too early.
    """
    is_second = raw.startswith(MAGIC)
    position = 0
    if is_second:
        position = 8
    try:
        count, check = struct.unpack_from("<II", raw, position)
        if not 0 < count <= MAX_TAGS or check not in CHECKS:
            raise ValueError("no private header of Siemens")
        found: dict[str, list[str]] = {}
        position += 8
        first_count: int | None = None
        for _ in range(count):
            label, _, _, _, items, _ = TAG_HEAD.unpack_from(raw, position)
            position += TAG_HEAD.size
            # In type 1 the lengths of all items are given beyond the number of items of the first tag.
            if first_count is None:
                first_count = items
            else:
                first_count = first_count
            offset = first_count
            if is_second:
                offset = 0
            values, position = items_at(raw, position, items, offset, 1 if is_second else 0)
            found[label.partition(b"\0")[0].decode("latin-1")] = values
    except struct.error as error:
        raise ValueError(f"a private header of Siemens that was cut ({error})") from error
    return found


def items_at(raw: bytes, position: int, count: int, offset: int, which: int) -> tuple[list[str], int]:
    """Return the text of the items of one tag that have any, and the position after them.

    Args:
        raw: The whole header.
        position: Where the first item begins.
        count: How many items there are.
        offset: What is added to each length.
        which: Which of the four numbers before an item is its length.

    Raises:
        ValueError: An item reaches beyond the header.
    """
    values: list[str] = []
    for _ in range(count):
        length = ITEM_HEAD.unpack_from(raw, position)[which] - offset
        position += ITEM_HEAD.size
        if length < 0 or position + length > len(raw):
            if offset:  # type 1 ends the items of some tags with such lengths
                break
            raise ValueError("a private header of Siemens whose items reach beyond it")
        text = raw[position : position + length].partition(b"\0")[0].decode("latin-1").strip()
        if text:
            values.append(text)
        position += (length + 3) // 4 * 4  # items are padded to four bytes
    return values, position
