"""What docs/design.md shows of the code: `python tests/contracts/design_page.py` writes the list of layers anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from source import FILES, place, tree
from test_layers import LAYERS

__all__ = ["PAGE", "keepers_of_state", "with_layers"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design.md"
BEGIN, END = "<!-- layers: written by tests/contracts/design_page.py -->\n", "<!-- end of layers -->\n"


def with_layers(page: str) -> str:
    """Return a page with the list of layers between its marks, lowest first."""
    head, rest = page.split(BEGIN)
    tail = rest.split(END)[1]
    rows = [f"{level}. {', '.join(f'`{name}`' for name in sorted(names))}\n" for level, names in enumerate(LAYERS, 1)]
    return head + BEGIN + "".join(rows) + END + tail


def assigns_to_itself(method: ast.FunctionDef) -> bool:
    """Whether a method changes an attribute of its object."""
    stored = (node for node in ast.walk(method) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return any(isinstance(node.value, ast.Name) and node.value.id == "self" for node in stored)


def is_mutable(node: ast.ClassDef) -> bool:
    """Whether objects of a class change after they were made, as far as its own methods and decorators tell."""
    bases = {ast.unparse(base).split("[")[0] for base in node.bases}
    if bases & {"nn.Module", "Protocol"}:
        return False
    for decorator in node.decorator_list:
        words = ast.unparse(decorator)
        if words.startswith("dataclass"):
            return "frozen=True" not in words
    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    return any(assigns_to_itself(method) for method in methods if method.name not in ("__init__", "__new__"))


def keepers_of_state() -> Iterator[tuple[str, str]]:
    """Yield class and file of every mutable class of the package."""
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and is_mutable(node):
                yield node.name, place(path)


if __name__ == "__main__":
    PAGE.write_text(with_layers(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
