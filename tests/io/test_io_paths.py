"""Files are named in messages without their folders, on one short line."""

from __future__ import annotations

from prosect.io.paths import file_name


def test_a_message_never_names_the_folder() -> None:
    assert file_name("/home/Secret^Person/a.nii") == "a.nii"


def test_a_long_name_is_shortened_in_its_middle() -> None:
    name = file_name("start" + "x" * 300 + ".nii.gz")
    assert len(name) <= 120
    assert name.startswith("start")
    assert name.endswith(".nii.gz")


def test_what_cannot_be_printed_is_replaced() -> None:
    assert file_name("a\nb\x1b[31m.nii") == "a?b?[31m.nii"
