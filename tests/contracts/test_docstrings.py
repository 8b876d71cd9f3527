"""Public functions say what they return, and those that take or give arrays say of what shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from source import FILES, LEVELS, Function, functions, place, tree

ARRAY = re.compile(r"NDArray|Tensor|ndarray|\bMask\b|\bArray\b|\bVoxels\b")
# `(i j k)`, `(q 3)`, `i j k`, `2 x 3`, "of the same shape", "a vector": the letters are those of docs/design.md.
SHAPE = re.compile(
    r"\(\s*(?:[a-z0-9*./_]+[ ,]+)+[a-z0-9*./_+-]+\s*\)|\(n\)|\bshape|\bi j k\b|\bvector\b|\brow\b|\bscalar\b|\bby \d"
)


def public(path: Path) -> Iterator[Function]:
    """Yield functions and methods of a file that have no underscore."""
    yield from (node for node in functions(tree(path)) if not node.name.startswith("_"))


def annotations(node: Function) -> str:
    """Return the types of what a function takes and returns."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    types = [argument.annotation for argument in every] + [node.returns]
    return " ".join(ast.unparse(each) for each in types if each is not None)


def takes_arrays(node: Function) -> bool:
    """Whether arrays go in or come out."""
    return bool(ARRAY.search(annotations(node)))


def described_elsewhere(node: Function) -> bool:
    """Whether a method fills in what another library describes, or one of several signatures of a function."""
    overloaded = any(ast.unparse(each) == "overload" for each in node.decorator_list)
    return overloaded or node.name in ("forward", "extra_repr", "on_broken_pipe")


def test_every_public_function_says_what_it_does() -> None:
    every = [(path, node) for path in FILES for node in public(path) if not described_elsewhere(node)]
    silent = [place(path, node) for path, node in every if not ast.get_docstring(node)]
    assert len(silent) <= LEVELS["docstrings"]["missing"], (
        f"without a docstring: {', '.join(silent)}. Its first line says what comes back; then shapes, units, errors."
    )


def test_functions_of_arrays_state_shapes_no_less_often_than_they_did() -> None:
    every = [(path, node) for path in FILES for node in public(path) if takes_arrays(node)]
    shapeless = [place(path, node) for path, node in every if not SHAPE.search(ast.get_docstring(node) or "")]
    percent = 100 * (1 - len(shapeless) / len(every))
    level = LEVELS["docstrings"]["shape_percent"]
    assert percent >= level, (
        f"{percent:.1f} % of the functions that take or give arrays state a shape; at least {level} % "
        "(tests/contracts/levels.toml). Say yours in the docstring, as in `a mask (i j k)`. Without one: "
        f"{', '.join(shapeless)}"
    )


@pytest.mark.parametrize(
    ("words", "stated"),
    [
        ("Return a mask (i j k).", True),
        ("Return features (b c i j k) of windows.", True),
        ("Return points (n 3).", True),
        ("Return labels of the same shape.", True),
        ("Return labels as the scan stores them.", False),
    ],
)
def test_a_shape_is_recognised(words: str, stated: bool) -> None:
    assert bool(SHAPE.search(words)) == stated
