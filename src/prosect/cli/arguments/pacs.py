"""What can be typed of `pacs`."""

from __future__ import annotations

import argparse
from typing import Any

from prosect.cli.arguments.command import Command, Help
from prosect.cli.arguments.groups import add_choice, add_debug, add_device
from prosect.cli.arguments.words import at_least_one, path, positive
from prosect.io.dicom.choices import SEG_ENCODINGS

__all__ = ["COMMAND"]

RESULTS = ("dicom_seg", "dicom_rtstruct")


def add(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `pacs`."""
    debug = argparse.ArgumentParser(add_help=False)
    add_debug(debug)
    shared: dict[str, Any] = {"parents": [debug], "formatter_class": Help}
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="which series a PACS has", **shared)
    add_address(listing)
    listing.add_argument("--study", metavar="UID", help="only of this study (default: any)")
    match = "only series with these attributes, such as Modality=CT (default: any)"
    listing.add_argument("--match", nargs="+", default=[], metavar="NAME=VALUE", help=match)
    fetch = actions.add_parser("get", help="fetch a series into a folder", **shared)
    add_address(fetch)
    fetch.add_argument("--study", metavar="UID", required=True, help="Study Instance UID")
    fetch.add_argument("--series", metavar="UID", required=True, help="Series Instance UID")
    fetch.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="a new or empty folder")
    give = actions.add_parser("put", help="send DICOM results", **shared)
    add_address(give)
    give.add_argument("files", metavar="FILE", nargs="+", type=path, help="DICOM files")
    add_listen(actions.add_parser("listen", help="receive series, segment them, send results back", **shared))


def add_address(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where a PACS is and how it is spoken to."""
    parser.add_argument("--url", required=True, help="root of DICOMweb, such as https://pacs.example/dicom-web")
    parser.add_argument(
        "--token-file", metavar="FILE", type=path, help="file with the token that the PACS asks for (default: none)"
    )
    parser.add_argument("--netrc", action="store_true", help="user and password from ~/.netrc")
    further = "certificates of further authorities that are trusted (default: none)"
    parser.add_argument("--ca", metavar="FILE", type=path, help=further)
    parser.add_argument("--cert", metavar="FILE", type=path, help="certificate and key of this client (default: none)")


def add_listen(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `pacs listen`."""
    parser.add_argument("-o", dest="output", metavar="DIR", type=path, required=True, help="folder of the results")
    node = parser.add_argument_group("node")
    node.add_argument("--ae", default="PROSECT", metavar="TITLE", help="our AE title (default: PROSECT)")
    where = "address to listen on (default: 127.0.0.1; any other needs --caller)"
    node.add_argument("--host", default="127.0.0.1", help=where)
    node.add_argument("--port", type=at_least_one, default=11112, help="port (default: 11112)")
    node.add_argument("--caller", nargs="+", default=[], metavar="TITLE", help="AE titles that may send (default: any)")
    back = "send results there (default: nothing is sent)"
    node.add_argument("--send-to", metavar="TITLE=HOST:PORT", help=back)
    own = "certificate and key: listen and send with TLS (default: without)"
    node.add_argument("--tls-cert", metavar="FILE", type=path, help=own)
    others = "authorities of the certificates of others (default: those of the system)"
    node.add_argument("--tls-ca", metavar="FILE", type=path, help=others)
    rule = parser.add_argument_group("rule: which series are segmented")
    rule.add_argument("--modality", nargs="+", default=["CT"], metavar="CODE", help="of these modalities (default: CT)")
    fewest = "of so many files or more (default: 10)"
    rule.add_argument("--fewest", type=at_least_one, default=10, metavar="N", help=fewest)
    quiet = "a series is complete after so many seconds without a file (default: 30)"
    rule.add_argument("--quiet-time", type=positive, default=30.0, metavar="S", help=quiet)
    room = "room for what arrives, in GiB (default: 16)"
    rule.add_argument("--room", type=positive, default=16.0, metavar="GIB", help=room)
    made = parser.add_argument_group("results")
    kinds = "what is made (default: dicom_seg)"
    made.add_argument("-ot", "--output_type", nargs="+", choices=RESULTS, default=["dicom_seg"], help=kinds)
    made.add_argument(
        "--seg-encoding", choices=SEG_ENCODINGS, default="binary", help="as in `segment` (default: binary)"
    )
    some = "only these structures or groups (default: everything)"
    made.add_argument("-rs", "--roi_subset", nargs="+", metavar="NAME", help=some)
    add_choice(made)
    add_device(made)
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what only the flags together show."""
    if args.action == "list":
        for pair in args.match:
            name, equals, value = pair.partition("=")
            if not (name.isalnum() and equals and value):
                parser.error(f"--match {pair}: give NAME=VALUE, such as Modality=CT")
    if args.action == "listen":
        if args.host not in ("127.0.0.1", "localhost", "::1") and not args.caller:
            parser.error(f"--host {args.host} lets other machines in; say with --caller which AE titles may send")
        if args.tls_ca is not None and args.tls_cert is None:
            parser.error("--tls-ca needs --tls-cert")


COMMAND = Command("list, fetch and send series of a PACS, or listen for them", add, check, has_actions=True)
