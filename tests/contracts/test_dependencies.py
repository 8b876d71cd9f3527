"""What is installed with the package is what it imports: nothing more, because it weighs, and nothing less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from source import FILES, nodes

from prosect.cli.commands import doctor

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = {"scikit-image": "skimage"}
# pydicom finds these by itself, and torch finds the writer of TensorBoard's files.
PLUGINS = {"pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "tensorboard"}


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name."""
    found = set()
    for requirement in requirements:
        match = re.match(r"[\w.-]+", requirement)
        assert match is not None
        found.add(match[0])
    return found


@cache
def imported() -> frozenset[str]:
    """Return the top names of all modules that the source imports from elsewhere."""
    found: set[str] = set()
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return frozenset(found - set(sys.stdlib_module_names) - {"prosect"})


NEEDED = names(PROJECT["dependencies"])
OPTIONAL = ("dicom", "pacs", "training", "server", "cohort", "openvino", "ray", "s3")
EXTRAS = [names(PROJECT["optional-dependencies"][extra]) for extra in OPTIONAL]
# These come with FastAPI, which is made of them.
WITH_FASTAPI = {"starlette", "pydantic", "anyio"}
# boto3 is a layer over this.
WITH_BOTO3 = {"botocore"}


def test_every_dependency_is_imported() -> None:
    unused = {name for name in NEEDED - PLUGINS if MODULES.get(name, name) not in imported()}
    assert not unused


def test_every_import_is_a_dependency() -> None:
    stated = {MODULES.get(name, name) for name in NEEDED.union(*EXTRAS)}
    assert not imported() - stated - WITH_FASTAPI - WITH_BOTO3


def test_an_extra_repeats_no_dependency() -> None:
    for extra, requirements in PROJECT["optional-dependencies"].items():
        assert not names(requirements) & NEEDED, extra


def test_the_doctor_looks_for_every_dependency() -> None:
    assert set(doctor.NEEDED) == NEEDED
