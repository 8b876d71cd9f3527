"""The entry of the command line: reads the words, loads the one command they name, turns errors into exit codes.

Exit codes: 0 ok, 1 internal bug, 2 usage, 3 input refused, 4 cohort partly failed, 5 resources, 6 model refused,
130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from prosect import __version__
from prosect.checkpoints import catalog
from prosect.cli.arguments import build_parser, check
from prosect.errors import ProsectError, ProsectWarning

__all__ = ["main"]

INTERNAL_BUG, RESOURCES, INTERRUPTED, TERMINATED, BROKEN_PIPE = 1, 5, 130, 143, 141


# Packages that only some commands need, with the extra that brings them.
EXTRAS = {
    "fastapi": "server",
    "starlette": "server",
    "uvicorn": "server",
    "httpx": "server",
    "highdicom": "dicom",
    "pynetdicom": "pacs",
    "pyarrow": "cohort",
    "ray": "ray",
    "onnxscript": "onnx",
    "boto3": "s3",
    "botocore": "s3",
}
EXHAUSTED = "error [MEMORY_EXHAUSTED]: the memory is not sufficient; try --dry-run"
# Libraries that cannot get memory under a limit of addresses fail in ways of their own.
NEARLY = 64 << 20


class Terminated(BaseException):
    """SIGTERM arrived; blocks are left as for an interrupt, so that no temporary file stays."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The words after `prosect`; those of the process by default.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal cannot show must not spoil a result that is already written.
        sys.stdout.reconfigure(errors="replace")
    parser = build_parser(version)
    try:
        args = parser.parse_args(argv)
        # Whoever starts the same command on other machines needs its words.
        args.words = tuple(sys.argv[1:] if argv is None else argv)
        check(parser, args)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    with sigterm_raises(), plain_warnings(getattr(args, "quiet", False)):
        return guarded(args)


def guarded(args: argparse.Namespace) -> int:
    """Run the command; every way it can end has one status and at most one line."""
    try:
        if args.command != "doctor":  # which must come to word where a library is broken
            importlib.import_module("prosect.cli.early").refuse(args)
        command = importlib.import_module(f"prosect.cli.commands.{args.command.replace('-', '_')}")
        status = int(command.run(args))
        sys.stdout.flush()
        return status
    except ProsectError as error:
        return failed(args, f"error [{error.code}]: {error}", error.exit_status)
    except KeyboardInterrupt:
        return failed(None, "interrupted; no file was left half written", INTERRUPTED)
    except Terminated:
        return failed(None, "terminated; no file was left half written", TERMINATED)
    except MemoryError:
        return failed(args, EXHAUSTED, RESOURCES)
    except BrokenPipeError:
        # The reader of our output left (`prosect labels | head`); Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if ran_short():
            return failed(args, EXHAUSTED, RESOURCES)
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            needed = f"this needs {error.name}; install it: pip install 'prosect[{EXTRAS[error.name]}]'"
            return failed(args, f"error [EXTRA_MISSING]: {needed}", RESOURCES)
        cause = " ".join(str(error).split())[:200]
        line = f"internal bug ({type(error).__name__}: {cause}); repeat with --debug and report it"
        return failed(args, line, INTERNAL_BUG)


def failed(args: argparse.Namespace | None, line: str, status: int) -> int:
    """Say on stderr, in one line, why there is no result; the traceback only with --debug."""
    if args is not None and args.debug:
        traceback.print_exc(file=sys.stderr)
    print(f"prosect: {' '.join(line.split())}", file=sys.stderr)
    return status


def ran_short() -> bool:
    """Return whether this process has come near its limit of addresses (`ulimit -v`), where it has one."""
    with contextlib.suppress(ImportError, OSError, StopIteration):
        import resource  # of POSIX

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
            peak = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmPeak"))
            return peak > limit - NEARLY
    return False


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, where this is the main thread."""

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def plain_warnings(quiet: bool) -> Iterator[None]:
    """Show our own warnings as one line each on stderr, and those of libraries not at all."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        print(f"prosect: warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not quiet:
            warnings.simplefilter("always", ProsectWarning)
        warnings.showwarning = show
        yield


def version() -> str:
    """Return the version of the package, and on a second line the weights that are on this machine."""
    return f"{__version__}\nweights here: {', '.join(catalog.installed()) or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
