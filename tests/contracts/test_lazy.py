"""What is loaded late is listed in one table, and nothing else imports by name."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from source import FILES, module_name, nodes, place

from prosect.cli.arguments import COMMANDS
from prosect.io.formats import FORMATS
from prosect.lazy import MODULES, lazy_module, load_module

# The table itself, and the entry of the command line, which loads the one command that was typed.
MAY_IMPORT_BY_NAME = {"prosect.lazy", "prosect.cli.main"}


def names_importlib(path: Path) -> bool:
    """Return whether a file can import by name; `importlib.metadata` and `.resources` only look things up."""
    for node in nodes(path):
        if isinstance(node, ast.Import) and any(alias.name == "importlib" for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "importlib":
            return any(alias.name in ("import_module", "reload") for alias in node.names)
        if isinstance(node, ast.Name) and node.id == "__import__":
            return True
    return False


def test_one_file_imports_by_name() -> None:
    found = {module_name(path) for path in FILES if names_importlib(path)}
    assert found <= MAY_IMPORT_BY_NAME


def late_imports(path: Path) -> list[tuple[str, str]]:
    """Return name and module of each `name = lazy_module("module")` of a file."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            called = node.value
            if isinstance(called.func, ast.Name) and called.func.id == "lazy_module":
                found.append((ast.unparse(node.targets[0]), ast.literal_eval(called.args[0])))
    return found


def loaded_by_name(path: Path) -> list[str]:
    """Return the module of each `load_module("module")` of a file."""
    found = []
    for node in nodes(path):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_module"
        if called and isinstance(node.args[0], ast.Constant):
            found.append(node.args[0].value)
    return found


def typed_imports(path: Path) -> set[tuple[str, str]]:
    """Return name and module of each import that only a type checker reads."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.Import):
                    found |= {(alias.name, alias.name) for alias in line.names}
                elif isinstance(line, ast.ImportFrom):
                    found |= {(alias.name, f"{line.module}.{alias.name}") for alias in line.names}
    return found


def test_what_stands_for_a_module_has_its_name_and_types() -> None:
    for path in FILES:
        untyped = set(late_imports(path)) - typed_imports(path)
        assert not untyped, f"{place(path)} does not say the types of {untyped}"


def test_every_entry_is_used_and_is_there() -> None:
    used = {module for path in FILES for _, module in late_imports(path)}
    used |= {module for path in FILES for module in loaded_by_name(path)}
    used |= {row.module for row in FORMATS}
    used |= {"prosect.training.augment_official", "prosect.training.tensorboard"}
    assert used == set(MODULES)
    for name in MODULES:
        assert importlib.util.find_spec(name) is not None


def test_every_command_has_a_file_of_its_name() -> None:
    for name in COMMANDS:
        assert importlib.util.find_spec(f"prosect.cli.commands.{name.replace('-', '_')}") is not None


def test_a_module_that_is_not_listed_is_refused() -> None:
    with pytest.raises(KeyError, match="json"):
        load_module("json")
    with pytest.raises(KeyError, match="json"):
        lazy_module("json")


@pytest.mark.parametrize(
    "code",
    [
        "import prosect.jobs; prosect.jobs.SegmentJob; prosect.jobs.CohortJob; prosect.jobs.ClickJob",
        "import prosect.jobs.verify",
        "from prosect.cli.main import main; assert main(['labels', 'vista3d-ct']) == 0",
    ],
)
def test_jobs_are_read_and_structures_listed_without_torch(code: str) -> None:
    check = "\nimport sys; assert not {'torch', 'monai', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code + check], check=True, capture_output=True)
