"""A place in an object store: objects that are put, found and listed, with the store's refusals in our words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from prosect.errors import FormatError, OutputError
from prosect.io.atomic import output_error
from prosect.io.paths import file_name

__all__ = ["Bucket", "connect"]

TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
ABSENT = ("NoSuchKey", "404", "NotFound")
# What the store says, and what the way there says.
STORE_ERRORS = (ClientError, BotoCoreError, Boto3Error)


@dataclass(frozen=True)
class Bucket:
    """A place in an object store.

    Attributes:
        client: What speaks to it.
        name: The bucket.
        prefix: What the names of its objects begin with, without a slash at the end; may be empty.
    """

    client: Any
    name: str
    prefix: str

    def key(self, name: str) -> str:
        """Return the whole name of an object."""
        if self.prefix:
            return f"{self.prefix}/{name}"
        return name

    def put(self, name: str, content: bytes, **condition: str) -> str | None:
        """Write an object and return its tag; None where the condition does not hold.

        Raises:
            OutputError: It cannot be written (`OUTPUT_UNWRITABLE`).
        """
        try:
            answer = self.client.put_object(Bucket=self.name, Key=self.key(name), Body=content, **condition)
        except STORE_ERRORS as error:
            if condition and code_of(error) in (*TAKEN, *ABSENT):
                return None
            raise self.refusal(name, error) from error
        return str(answer["ETag"])

    def head(self, name: str) -> Mapping[str, Any] | None:
        """Return what the store says of an object, None where there is none.

        Raises:
            OutputError: The store does not answer (`OUTPUT_UNWRITABLE`).
        """
        try:
            found: Mapping[str, Any] = self.client.head_object(Bucket=self.name, Key=self.key(name))
        except STORE_ERRORS as error:
            if code_of(error) in ABSENT:
                return None
            raise self.refusal(name, error) from error
        return found

    def get(self, name: str) -> bytes | None:
        """Return an object, None where there is none.

        Raises:
            OutputError: It cannot be read (`OUTPUT_UNWRITABLE`).
        """
        try:
            answer = self.client.get_object(Bucket=self.name, Key=self.key(name))
            return bytes(answer["Body"].read())
        except STORE_ERRORS as error:
            if code_of(error) in ABSENT:
                return None
            raise self.refusal(name, error) from error

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none.

        Raises:
            OutputError: The store refuses (`OUTPUT_UNWRITABLE`).
        """
        try:
            self.client.delete_object(Bucket=self.name, Key=self.key(name))
        except STORE_ERRORS as error:
            raise self.refusal(name, error) from error

    def download(self, name: str, path: Path) -> None:
        """Write an object into a file.

        Raises:
            FormatError: The store does not answer (`STORE_UNREADABLE`).
            OutputError: The file cannot be written.
            ResourceError: The disk is full (`DISK_FULL`).
        """
        try:
            self.client.download_file(self.name, self.key(name), str(path))
        except STORE_ERRORS as error:
            raise self.silence(error) from error
        except OSError as error:
            raise output_error(path, error) from error

    def list(self, folder: str, after: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield name and facts of each object whose name begins with `folder` and comes after another.

        Raises:
            FormatError: The store does not answer (`STORE_UNREADABLE`).
        """
        options: dict[str, str] = {"Bucket": self.name, "Prefix": self.key(folder)}
        if after:
            options["StartAfter"] = self.key(after)
        cut = len(self.key(""))
        try:
            for page in self.client.get_paginator("list_objects_v2").paginate(**options):
                for entry in page.get("Contents", ()):
                    yield entry["Key"][cut:], entry
        except STORE_ERRORS as error:
            raise self.silence(error) from error

    def silence(self, error: Exception) -> FormatError:
        """Return the error for a store that does not answer."""
        return FormatError(
            f"s3://{self.name}/{self.prefix}: the store does not answer ({words_of(error)}). Check the address and "
            "your credentials.",
            code="STORE_UNREADABLE",
        )

    def refusal(self, name: str, error: Exception) -> OutputError:
        """Return the error for an object that cannot be read or written."""
        return OutputError(
            f"{file_name(name)}: the object store refuses ({words_of(error)}). Check the address and your rights.",
            code="OUTPUT_UNWRITABLE",
        )


def connect(address: str) -> Bucket:
    """Return the place of an address such as `s3://bucket/prefix`; credentials are found where boto3 looks for them.

    Raises:
        FormatError: There is no bucket in it (`STORE_UNREADABLE`).
    """
    name, _, prefix = address.removeprefix("s3:").lstrip("/").partition("/")
    if not name:
        raise FormatError(f"{address}: give s3://BUCKET/PREFIX.", code="STORE_UNREADABLE")
    return Bucket(boto3.client("s3"), name, prefix.strip("/"))


def code_of(error: Exception) -> str:
    """Return the store's code of an error; empty where none came from there, such as without a connection."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


def words_of(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split())[:200]
