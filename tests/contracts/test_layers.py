"""Imports go downwards, names are documented, and nothing heavy loads early."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from source import nodes, tree

import prosect
from prosect import errors

SOURCE = Path(prosect.__file__).parent
# Lowest first; a module may import from its own row (no cycles, checked apart) and from those above it in this list.
LAYERS = [
    {"errors", "lazy", "display"},
    {
        "geometry",
        "vocabulary",
        "boxes",
        "drawn_box",
        "morphology",
        "progress",
        "progress_bar",
        "stopwatch",
        "stated_facts",
    },
    {
        "volume",
        "label_values",
        "labelmap",
        "places",
        "prompts",
        "clicks_file",
        "measure",
        "radiomics",
        "resample",
        "plain_data",
    },
    {"io", "networks"},
    {"checkpoints", "case", "phantom", "preview"},
    {"inference", "results", "cards"},
    {"session", "simulated_user"},
    {"models"},
    {"data"},
    {"supervoxels", "evaluation"},
    {"training"},
    {"jobs"},
    {"cohort"},
    {"pacs", "bundle"},
    {"server"},
    {"client"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def part(dotted: str) -> str | None:
    """Return the part of prosect a dotted name belongs to."""
    pieces = dotted.split(".")
    return pieces[1] if pieces[0] == "prosect" and len(pieces) > 1 else None


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the parts of prosect that a file imports."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {p for alias in node.names if (p := part(alias.name))}
        elif isinstance(node, ast.ImportFrom) and node.module == "prosect":
            found |= {alias.name for alias in node.names if alias.name in LEVEL}
        elif isinstance(node, ast.ImportFrom) and node.module and (name := part(node.module)):
            found.add(name)
    return frozenset(found)


def home(path: Path) -> str:
    """Return the part of prosect that a file lies in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_downwards(path: Path) -> None:
    upwards = {name for name in imported(path) if LEVEL[name] > LEVEL[home(path)]}
    assert not upwards, f"{path.name} imports from above it: {upwards}"


def test_only_the_command_line_knows_the_command_line() -> None:
    others = [path for path in FILES if home(path) not in ("cli", "__main__") and "cli" in imported(path)]
    assert not others, "what the command line can do belongs into a job, which every front door can ask for"


def test_parts_of_one_layer_form_no_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for path in FILES:
        edges.setdefault(home(path), set()).update(imported(path) - {home(path)})
    done: set[str] = set()
    while len(done) < len(edges):
        ready = {name for name, below in edges.items() if name not in done and below <= done}
        assert ready, f"a cycle among {sorted(edges.keys() - done)}"
        done |= ready


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_modules_are_documented_and_import_at_the_top(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module), "a module says what it is for"
    if path.relative_to(SOURCE).as_posix() == "cli/main.py":
        return
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inner, f"{node.name} imports inside"


@pytest.mark.parametrize(
    "code",
    [
        "import prosect",
        "import prosect; prosect.read; prosect.write; prosect.LabelMap",
        "import prosect; prosect.Session; import prosect.session.journal, prosect.prompts, prosect.clicks_file",
        "from prosect.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_no_torch_and_no_monai_before_they_are_needed(code: str) -> None:
    check = "\nimport sys; assert not {'torch', 'monai'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code + check], check=True, capture_output=True)


def test_every_kind_of_error_has_its_own_code() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]
    codes = [kind.default_code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert all(issubclass(kind, prosect.ProsectError) for kind in kinds)
    assert {kind.exit_status for kind in kinds} <= {2, 3, 5, 6, 130}


def test_models_are_asked_what_they_can_do_and_never_for_their_class() -> None:
    asked = re.compile(r"isinstance\([^)]*Model\b|\bmodel: Any\b")
    found = [str(path.relative_to(SOURCE)) for path in FILES if asked.search(path.read_text(encoding="utf-8"))]
    assert not found, f"ask by a `require_` function of models.protocols instead: {sorted(found)}"
