"""What can be typed of many machines: who starts the workers of a folder run, and how they share it."""

from __future__ import annotations

import argparse
import re

from prosect.cli.arguments.words import at_least_one, positive

__all__ = ["EXECUTORS", "OWN_FLAGS", "add_executors", "check_executors"]

EXECUTORS = ("local", "slurm-array", "ray")
# Those that a worker of an array is not given, with whether words follow them.
OWN_FLAGS = {"--executor": 1, "--tasks": 1, "--submit": 0, "--sbatch": -1, "--part": 1}
PART = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
SBATCH = re.compile(r"[a-z][a-z-]*(=[^\s]+)?")


def part(text: str) -> tuple[int, int]:
    """Return which of how many, as in `3/64`."""
    found = PART.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text}: give I/N, from 1/N to N/N, such as 3/64")
    return int(found[1]), int(found[2])


def sbatch_option(text: str) -> str:
    """Return an option of sbatch without its dashes, as in `partition=gpu`."""
    if not SBATCH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text}: give NAME=VALUE without dashes, such as partition=gpu")
    return text


def add_executors(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("many scans and many machines")
    who = "who starts the workers: local (default), slurm-array (prints a script) or ray"
    group.add_argument("--executor", choices=EXECUTORS, default="local", metavar="NAME", help=who)
    own = "be one of N workers that share the folder OUT: the I-th part first, then others (default: all of it)"
    group.add_argument("--part", type=part, metavar="I/N", help=own)
    many = "how many workers slurm-array or ray starts (no default for slurm-array; ray: as many as there is room for)"
    group.add_argument("--tasks", type=at_least_one, metavar="N", help=many)
    group.add_argument("--submit", action="store_true", help="slurm-array: submit the script instead of printing it")
    options = "slurm-array: options of sbatch, such as partition=gpu gpus-per-task=1 time=04:00:00 (default: none)"
    group.add_argument("--sbatch", nargs="+", type=sbatch_option, default=[], metavar="NAME=VALUE", help=options)
    address = "ray: address of a running cluster (default: start one on this machine)"
    group.add_argument("--ray-address", metavar="HOST:PORT", help=address)
    group.add_argument(
        "--cpus-per-task", type=at_least_one, default=1, metavar="N", help="ray: processors of a worker (default: 1)"
    )
    gpus = "ray: GPUs of a worker, such as 1 or 0.5 (default: 0)"
    group.add_argument("--gpus-per-task", type=positive, default=0.0, metavar="N", help=gpus)
    limit = "seconds for one step of a scan before its worker leaves (default: an hour, or ten times the slowest)"
    group.add_argument("--case-time", type=positive, metavar="S", help=limit)
    joined = "with -s: more tables of all scans: wide (one row each), parquet (default: neither)"
    group.add_argument("--tables", nargs="+", choices=("wide", "parquet"), default=[], metavar="KIND", help=joined)
    room = "scans in memory at once: read, computed and saved side by side (default: 5 with a GPU, else 3)"
    group.add_argument("--at-once", type=at_least_one, metavar="N", help=room)
    mixed = "on a GPU: scans computed at once, whose windows share batches; for scans of few windows (default: 1)"
    group.add_argument("--batch-scans", type=at_least_one, default=1, metavar="N", help=mixed)
    lease = "seconds after which a silent worker's scans go to others (default: 300)"
    group.add_argument("--lease", type=positive, default=300.0, metavar="S", help=lease)


def check_executors(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what only the flags together show."""
    if args.executor == "local":
        for flag, given in (("--tasks", args.tasks is not None), ("--submit", args.submit)):
            if given:
                parser.error(f"{flag} needs --executor slurm-array or ray")
    elif args.part is not None:
        parser.error(f"--part is one worker by itself, and {args.executor} starts all of them; give one of the two")
    if args.executor != "slurm-array" and (args.submit or args.sbatch):
        parser.error("--submit and --sbatch need --executor slurm-array")
    if args.executor == "slurm-array" and args.tasks is None:
        parser.error("slurm-array needs --tasks N, the number of workers")
    if args.executor != "ray" and (args.ray_address is not None or args.gpus_per_task):
        parser.error("--ray-address and --gpus-per-task need --executor ray")
