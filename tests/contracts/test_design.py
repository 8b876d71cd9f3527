"""docs/design.md describes the house that stands."""

from __future__ import annotations

import re

from design_page import PAGE, keepers_of_state, with_layers
from source import FILES, SOURCE

TEXT = PAGE.read_text(encoding="utf-8")
GLOSSARY = (PAGE.parent / "glossary.md").read_text(encoding="utf-8")


def test_the_layers_shown_are_those_tested() -> None:
    assert with_layers(TEXT) == TEXT, "run `python tests/contracts/design_page.py`"


def test_every_class_that_keeps_state_is_named() -> None:
    state = TEXT.split("## State")[1].split("\n## ")[0]
    unnamed = {f"{name} ({file})" for name, file in keepers_of_state() if f"`{name}`" not in state}
    assert not unnamed, f"make it frozen, or say in docs/design.md under State what changes and who owns it: {unnamed}"


def test_every_class_named_is_there() -> None:
    state = TEXT.split("## State")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in state.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert len(named) >= 10
    gone = named - {name for name, _ in keepers_of_state()}
    assert not gone, f"docs/design.md names under State what keeps none: {gone}"


def test_files_that_the_page_names_exist() -> None:
    """Paths such as `inference/merge` within the package, and whole ones such as `benches/memory.py`."""
    known = {path.relative_to(SOURCE).with_suffix("").as_posix() for path in FILES} | {
        path.parent.relative_to(SOURCE).as_posix() for path in FILES
    }
    for found in re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+)`", TEXT):
        assert found in known or (PAGE.parents[1] / found).exists(), f"docs/design.md names {found}, which is gone"
    for found in re.findall(r"`([a-z_0-9/]+/[a-z_0-9]+\.py)`", TEXT):
        assert (SOURCE / found).is_file() or (PAGE.parents[1] / found).is_file(), f"docs/design.md: {found} is gone"


def test_links_to_the_glossary_lead_to_its_words() -> None:
    words = set(re.findall(r'<a id="([a-z-]+)"></a>', GLOSSARY))
    pages = [PAGE.parents[1] / "README.md", *PAGE.parent.rglob("*.md")]
    linked = {
        word for page in pages for word in re.findall(r"glossary\.md#([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert linked
    assert linked <= words


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "common", "helpers", "misc", "tools", "core", "base", "manager"}
    assert not {path.stem for path in FILES} & empty
