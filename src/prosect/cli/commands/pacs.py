"""`prosect pacs`: series out of an archive, results into it, and a node that answers by itself."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from prosect.cli.choices import classes_of
from prosect.cli.console import open_console, plain_table
from prosect.cohort.worker import Worker
from prosect.errors import OutputError, UsageError
from prosect.io.atomic import make_folder
from prosect.io.dicom.choices import DicomChoices
from prosect.io.paths import file_name
from prosect.jobs import ModelChoice
from prosect.jobs.cohort import CohortJob
from prosect.pacs.dicomweb import Address, DicomWeb
from prosect.pacs.inbox import Inbox
from prosect.pacs.listening import Listening, Told, listen, serve_forever
from prosect.pacs.sending import Node
from prosect.pacs.trust import Trust
from prosect.server.settings import read_token

__all__ = ["run"]

GIB = 1 << 30


def run(args: argparse.Namespace) -> int:
    """Do one action and return its exit status."""
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": show, "get": fetch, "put": give, "listen": answer,
    }  # fmt: skip
    return actions[args.action](args)


def address_of(args: argparse.Namespace) -> Address:
    """Return where the PACS is."""
    if args.token_file is None:
        token = ""
    else:
        token = read_token(args.token_file)
    return Address(args.url, token, args.netrc, args.ca, args.cert)


def show(args: argparse.Namespace) -> int:
    """Print the series; nothing of the patient."""
    matching = dict(pair.split("=", 1) for pair in args.match)
    with DicomWeb(address_of(args)) as pacs:
        found = pacs.series(matching, args.study)
    table = plain_table()
    for title in ("date", "modality", "files", "description", "study", "series"):
        table.add_column(title)
    for item in found:
        files = str(item.instances or "")
        title = "".join(letter for letter in item.description if letter.isprintable())
        table.add_row(item.date, item.modality, files, title, item.study_uid, item.series_uid)
    console = open_console()
    console.print(table)
    console.print(f"{len(found)} series")
    return 0


def fetch(args: argparse.Namespace) -> int:
    """Fetch a series.

    Raises:
        OutputError: The folder holds something (`OUTPUT_EXISTS`).
    """
    if args.output.exists() and (not args.output.is_dir() or any(args.output.iterdir())):
        raise OutputError(
            f"{file_name(args.output)}: the folder is not empty. Give a new one, so that series do not mix.",
            code="OUTPUT_EXISTS",
        )
    with DicomWeb(address_of(args)) as pacs:
        count = pacs.get(args.study, args.series, args.output)
    open_console().print(f"{count} files in {args.output}")
    return 0


def give(args: argparse.Namespace) -> int:
    """Send files."""
    with DicomWeb(address_of(args)) as pacs:
        count = pacs.put(args.files)
    open_console().print(f"{count} files sent")
    return 0


def answer(args: argparse.Namespace) -> int:
    """Listen until interrupted."""
    how = Listening(
        args.ae,
        args.host,
        args.port,
        tuple(args.caller),
        tuple(args.modality),
        args.fewest,
        None if args.send_to is None else Node.parse(args.send_to),
        trust_of(args),
    )
    make_folder(args.output)
    worker = Worker.load(job_of(args))
    inbox = Inbox(args.output / ".incoming", args.quiet_time, int(args.room * GIB), time.monotonic)
    say = open_console().print if not args.quiet else silent
    left = inbox.recover()
    if left:
        say(f"taken up from a run that was killed: {left} series")
    with listen(how, inbox) as port:
        say(f"listening as {how.title} on {how.host}:{port}; results in {args.output}")

        def tell(told: Told) -> None:
            """Say what became of a series."""
            say(f"{told.name}: {told.files} files, {told.state}{': ' if told.message else ''}{told.message}")

        serve_forever(how, inbox, worker, tell)
    return 0


def job_of(args: argparse.Namespace) -> CohortJob:
    """Return what is done with each series."""
    return CohortJob(
        input=args.output,
        output=args.output,
        classes=classes_of(args),
        model=ModelChoice(args.model, args.weights, "prosect", args.device),
        kinds=tuple(args.output_type),
        report=True,
        dicom=DicomChoices(args.seg_encoding),
    )


def trust_of(args: argparse.Namespace) -> Trust | None:
    """Return who we are over TLS; None for a node without it.

    Raises:
        UsageError: Authorities without a certificate of our own would encrypt nothing.
    """
    if args.tls_cert is None:
        if args.tls_ca is not None:
            raise UsageError("--tls-ca needs --tls-cert: without a certificate of this node nothing is encrypted.")
        return None
    return Trust(args.tls_cert, args.tls_ca)


def silent(_text: str) -> None:
    """Say nothing."""
