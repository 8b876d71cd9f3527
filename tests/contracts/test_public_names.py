"""What is public: the names that `prosect` exports with their signatures, and what each module lends to others."""

from __future__ import annotations

import ast
from pathlib import Path

from public_api import RECORD, describe
from source import FILES, LEVELS, SOURCE, module_name, nodes, place, tree


def test_the_public_interface_is_the_recorded_one() -> None:
    assert describe() == RECORD.read_text(encoding="utf-8"), (
        "The public interface has changed. Users' programs depend on it: if the change is meant, run "
        "`python tests/contracts/public_api.py` and commit the record with the change and its documentation."
    )


def listed(path: Path) -> list[str] | None:
    """Return the `__all__` of a file, or None where it has none."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def bound(path: Path) -> set[str]:
    """Return the names that a file binds at its top level, also under a condition."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree(path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.If | ast.Try):
            waiting += [*node.body, *node.orelse]
        else:
            names = (each for each in ast.walk(node) if isinstance(each, ast.Name))
            found |= {each.id for each in names if isinstance(each.ctx, ast.Store)}
    return found


def test_names_that_a_module_offers_exist() -> None:
    for path in FILES:
        names = listed(path) or []
        assert len(names) == len(set(names)), f"`__all__` of {place(path)} repeats a name"
        missing = set(names) - bound(path)
        assert not missing, f"`__all__` of {place(path)} names what is not there: {missing}"


def lent(path: Path) -> list[tuple[str, str]]:
    """Return the module and name of each import from another file of the package."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("prosect"):
            found += [(node.module, alias.name) for alias in node.names]
    return found


def is_module(dotted: str) -> bool:
    """Whether a dotted name is a file or a folder of the package."""
    path = SOURCE.parent.joinpath(*dotted.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_modules_borrow_only_what_is_offered() -> None:
    offered = {module_name(path): listed(path) for path in FILES}
    private = set()
    for path in FILES:
        for module, name in lent(path):
            names = offered.get(module)
            special = name.startswith("__") or is_module(f"{module}.{name}")
            if names is not None and name not in names and not special:
                private.add(f"{module}.{name} (in {place(path)})")
    level = LEVELS["names"]["borrowed"]
    assert len(private) <= level, (
        f"{len(private)} names are imported from modules whose `__all__` does not offer them; at most {level} "
        f"(tests/contracts/levels.toml). Add yours to `__all__` of its home: {', '.join(sorted(private))}"
    )
