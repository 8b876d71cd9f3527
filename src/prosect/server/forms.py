"""Multipart bodies of other viewers: counted while they come, kept under names of ours."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from prosect.errors import FormatError
from prosect.server.service import Service
from prosect.server.uploads import client_name, ending_of, keep_part, too_large, with_true_boundary

__all__ = ["Form", "form_of"]

MAX_PARTS = 8
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


@dataclass(frozen=True)
class Form:
    """A multipart body.

    Attributes:
        fields: Its texts by name.
        files: Where its files lie, by name of their part.
        place: The folder that holds them.
    """

    fields: Mapping[str, str]
    files: Mapping[str, Path]
    place: Path

    def take(self, name: str) -> Path:
        """Return a file, in a folder of its own now: it stays when the form is deleted.

        Raises:
            FormatError: There is none (`REQUEST_INVALID`).
        """
        if name not in self.files:
            raise FormatError(f"The form has no part `{name}` with a file.", code="REQUEST_INVALID")
        folder = self.place.with_name(secrets.token_hex(8))
        folder.mkdir(mode=0o700)
        return self.files[name].rename(folder / f"upload{''.join(self.files[name].suffixes)}")

    def delete(self) -> None:
        """Delete the files that nobody has taken."""
        shutil.rmtree(self.place, ignore_errors=True)


async def form_of(request: Request, service: Service) -> Form:
    """Return the multipart body of a request, its files in the folder of uploads; see `read_form`."""
    return await read_form(request, service.library.uploads, service.settings.max_upload_bytes)


async def read_form(request: Request, folder: Path, max_bytes: int) -> Form:
    """Return the multipart body of a request.

    Clients give the full path on their own machine as the name of a file; only its ending is used.

    Args:
        request: The request.
        folder: Where a folder for the files is made.
        max_bytes: Most that the body may have.

    Raises:
        FormatError: It is no multipart body (`REQUEST_INVALID`), or too large (`INPUT_TOO_LARGE`).
    """
    place = folder / secrets.token_hex(8)
    place.mkdir(mode=0o700)
    counted = await with_true_boundary(Request(request.scope, counting(request.receive, max_bytes)))
    fields: dict[str, str] = {}
    files: dict[str, Path] = {}
    try:
        async with counted.form(max_files=MAX_PARTS, max_fields=MAX_PARTS) as form:
            for name, part in form.multi_items():
                if isinstance(part, UploadFile):
                    given = client_name(part.filename or "")
                    ending = ending_of(given) or (".bin" if given.endswith(".bin") else "")
                    files[name] = place / f"{len(files)}{ending}"
                    await keep_part(part, files[name])
                else:
                    fields[name] = part
    except MultiPartException as error:
        shutil.rmtree(place, ignore_errors=True)
        raise FormatError(f"The form cannot be read: {error.message}", code="REQUEST_INVALID") from error
    except BaseException:  # whatever ends it, also a client that has gone: no part of a file stays
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Form(fields, files, place)


def counting(receive: Receive, max_bytes: int) -> Receive:
    """Return a `receive` that refuses a body which is longer than allowed."""
    count = 0

    async def receiving() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body", b""))
        if count > max_bytes:
            raise too_large(count, max_bytes)
        return message

    return receiving
