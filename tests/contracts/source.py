"""The source as the contracts see it: files, syntax trees, and counts of what makes code dense."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import prosect

__all__ = ["FILES", "LEVELS", "SOURCE", "Counts", "counts_of", "functions", "module_name", "nodes", "place", "tree"]

SOURCE = Path(prosect.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LEVELS = tomllib.loads(Path(__file__).with_name("levels.toml").read_text(encoding="utf-8"))
LONGEST_FUNCTION, LONGEST_FILE = 45, 400

Function = ast.FunctionDef | ast.AsyncFunctionDef
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return every node of a file's syntax tree. Kept, because a dozen contracts look at all of them."""
    return tuple(ast.walk(tree(path)))


def place(path: Path, node: Function | None = None) -> str:
    """Return where to look: the file within the package, and the function."""
    file = path.relative_to(SOURCE).as_posix()
    return file if node is None else f"{file}:{node.lineno} {node.name}"


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def functions(module: ast.Module) -> Iterator[Function]:
    """Yield functions of the module and methods of its classes; not what is defined inside a function."""
    for node in module.body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (inner for inner in node.body if isinstance(inner, Function))


@dataclass
class Counts:
    """Sums over the files.

    Attributes:
        lines: Lines that are not blank.
        comments: Lines that hold nothing but a comment.
        comprehensions: Of lists, sets, dictionaries and generators.
        nested: Those that hold another one.
        ternaries: `a if b else c`.
        long_functions: Where functions of more than `LONGEST_FUNCTION` lines are.
        long_files: Where files of more than `LONGEST_FILE` lines are.
    """

    lines: int
    comments: int
    comprehensions: int
    nested: int
    ternaries: int
    long_functions: list[str]
    long_files: list[str]

    def per_thousand(self, number: int) -> float:
        """Return a number per 1,000 lines."""
        return 1000 * number / max(self.lines, 1)


def counts_of(files: list[Path]) -> Counts:
    """Return the counts of files of the package."""
    total = Counts(0, 0, 0, 0, 0, [], [])
    for path in files:
        text = path.read_text(encoding="utf-8")
        filled = [line.strip() for line in text.splitlines() if line.strip()]
        total.lines += len(filled)
        total.comments += sum(line.startswith("#") for line in filled)
        if len(text.splitlines()) > LONGEST_FILE:
            total.long_files.append(place(path))
        for node in nodes(path):
            count_node(total, path, node)
    return total


def count_node(total: Counts, path: Path, node: ast.AST) -> None:
    """Add one node to the counts."""
    if isinstance(node, COMPREHENSIONS):
        total.comprehensions += 1
        inner = (child for child in ast.walk(node) if child is not node)
        total.nested += any(isinstance(child, COMPREHENSIONS) for child in inner)
    elif isinstance(node, ast.IfExp):
        total.ternaries += 1
    elif isinstance(node, Function):
        assert node.end_lineno is not None
        if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
            total.long_functions.append(place(path, node))
