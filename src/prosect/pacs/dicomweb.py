"""A PACS over DICOMweb: which series it has (QIDO-RS), their files (WADO-RS), and results sent to it (STOW-RS)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from netrc import NetrcParseError
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from pydicom import dcmread

from prosect.errors import FormatError, OutputError, ResourceError, UsageError
from prosect.io.atomic import make_folder, write_atomically
from prosect.io.paths import file_name, require_file
from prosect.pacs.multipart import BOUNDARY, boundary_of, file_parts, parts
from prosect.pacs.uids import checked_uid, file_name_of, is_uid
from prosect.results.folder import stage_folder

__all__ = ["Address", "DicomWeb", "RemoteSeries"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WANTED = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON = "application/dicom+json"
MAX_LISTED = 1000
MAX_FILES = 100_000
# DICOM's tags, as JSON spells them.
MODALITY, DESCRIPTION, SERIES, STUDY = "00080060", "0008103E", "0020000E", "0020000D"
STUDY_DATE, INSTANCES, FAILED, KEPT = "00080020", "00201209", "00081198", "00081199"


@dataclass(frozen=True)
class Address:
    """Where a PACS is, and how it is spoken to.

    Attributes:
        url: Root of DICOMweb, such as `https://pacs.example/dicom-web`.
        token: What it must be told (Bearer), empty for none.
        use_netrc: Take user and password from the user's `.netrc`.
        authority: Certificates of authorities that are trusted beside the system's.
        certificate: Certificate of this client with its key, where the server asks for one.
        timeout_s: How long is waited for an answer.
    """

    url: str
    token: str = field(default="", repr=False)
    use_netrc: bool = False
    authority: Path | None = None
    certificate: Path | None = None
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        try:
            parts, _ = urlsplit(self.url), httpx.URL(self.url)
        except (ValueError, httpx.InvalidURL):
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.url!r:.80} is no address of a PACS; give https://HOST/dicom-web.")
        if parts.username or parts.password:
            raise UsageError("A password in the address would be seen and logged; use a token file or .netrc.")
        secret = self.token or self.use_netrc
        if secret and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UsageError("Token or password would travel without encryption; use https.")

    @property
    def trust(self) -> ssl.SSLContext:
        """Which servers are believed, and who this client is.

        Raises:
            UsageError: A file cannot be used.
        """
        context = ssl.create_default_context()
        path = self.authority
        try:
            if self.authority is not None:
                context.load_verify_locations(self.authority)
            path = self.certificate
            if self.certificate is not None:
                context.load_cert_chain(self.certificate)
        except OSError as error:
            raise UsageError(
                f"{file_name(path or Path())}: this is no PEM file that TLS can use ({error.strerror or error}). Give "
                "certificates of authorities by --ca, and certificate and key of this client by --cert."
            ) from error
        return context

    @property
    def netrc(self) -> httpx.NetRCAuth | None:
        """User and password for each host, where they are to be used.

        Raises:
            UsageError: The user's `.netrc` is not there or cannot be read.
        """
        if not self.use_netrc:
            return None
        try:
            return httpx.NetRCAuth()
        except (OSError, NetrcParseError) as error:
            raise UsageError(
                f"~/.netrc cannot be read ({type(error).__name__}). Write it, or give --token-file."
            ) from error


@dataclass(frozen=True)
class RemoteSeries:
    """A series of a PACS; nothing of the patient.

    Attributes:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        modality: Modality.
        description: Series Description.
        date: Study Date.
        instances: How many files it has; 0 where the PACS does not say.
    """

    study_uid: str
    series_uid: str
    modality: str
    description: str
    date: str
    instances: int


class DicomWeb:
    """A connection to a PACS; use it in a `with` block.

    Args:
        address: Where it is.
        transport: Takes the place of the network in tests.
    """

    def __init__(self, address: Address, transport: httpx.BaseTransport | None = None) -> None:
        headers = {}
        if address.token:
            headers = {"Authorization": f"Bearer {address.token}"}
        self._http = httpx.Client(
            base_url=address.url.rstrip("/"),
            headers=headers,
            auth=address.netrc,
            timeout=address.timeout_s,
            verify=address.trust,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def series(self, matching: Mapping[str, str], study_uid: str | None = None) -> list[RemoteSeries]:
        """Return the series that match.

        Args:
            matching: Keywords of DICOM with the values wanted, such as `{"Modality": "CT"}`.
            study_uid: Only of this study.

        Raises:
            FormatError: The PACS refuses (`PACS_DENIED`, `PACS_REFUSED`), or its answer is no list (`PACS_ANSWER`).
            ResourceError: It cannot be reached (`PACS_UNREACHABLE`).
        """
        if study_uid is None:
            place = "/series"
        else:
            place = f"/studies/{checked_uid(study_uid)}/series"
        asked = {**matching, "includefield": [DESCRIPTION, INSTANCES, STUDY_DATE], "limit": str(MAX_LISTED)}
        with answers():
            answer = self._http.get(place, params=asked, headers={"Accept": JSON})
        refuse_status(answer)
        if answer.status_code == httpx.codes.NO_CONTENT:
            return []
        try:
            return [series_of(item) for item in answer.json()]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(
                f"The server's list of series cannot be read ({type(error).__name__}). Is it that of DICOMweb?",
                code="PACS_ANSWER",
            ) from error

    def get(self, study_uid: str, series_uid: str, folder: Path) -> int:
        """Write the files of a series into a folder and return their number; names are hashes of their identifiers.

        The folder appears when all of them are there: a part of a series could pass for the whole.

        Raises:
            FormatError: As `series`, or the series is not there (`PACS_NOT_FOUND`).
            ResourceError: As `series`.
        """
        place = f"/studies/{checked_uid(study_uid)}/series/{checked_uid(series_uid)}"
        make_folder(folder.parent)
        names: set[str] = set()
        with stage_folder(folder) as staging, answers(), self._http.stream("GET", place, headers=WANTED) as answer:
            if answer.is_error:
                answer.read()
            refuse_status(answer)
            for content in parts(answer.iter_bytes(), boundary_of(answer.headers.get("content-type", ""))):
                name = file_name_of(instance_of(content, series_uid))
                names.add(name)
                if len(names) > MAX_FILES:
                    raise FormatError(f"The series has more than {MAX_FILES} files.", code="PACS_ANSWER")
                write_atomically(staging / name, [content])
            if not names:
                raise FormatError("The PACS sent no file of this series. Look into its log.", code="PACS_ANSWER")
        return len(names)

    def put(self, paths: Sequence[Path]) -> int:
        """Send DICOM files and return their number.

        Raises:
            FormatError: As `series`; or a file is no DICOM; or the answer does not say that they were kept
                (`PACS_ANSWER`).
            OutputError: The PACS keeps not all of them (`PACS_REFUSED`).
            ResourceError: As `series`.
        """
        for path in paths:
            refuse_foreign(path)
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        with answers():
            answer = self._http.post(
                "/studies", content=file_parts(paths), headers={"Content-Type": kind, "Accept": JSON}
            )
        failed = listed(answer, FAILED)
        if failed:
            raise OutputError(
                f"The server did not keep {failed} of {len(paths)} files. Look into its log for the reason.",
                code="PACS_REFUSED",
            )
        refuse_status(answer)
        # A page to sign in, or a proxy's, is an answer without an error too.
        kept = listed(answer, KEPT)
        if kept < len(paths):
            raise FormatError(
                f"The server does not say that it kept the files ({kept} of {len(paths)}). Check the address: it must "
                "be the root of DICOMweb; and look for the files with `prosect pacs list`.",
                code="PACS_ANSWER",
            )
        return len(paths)


def series_of(item: Mapping[str, Any]) -> RemoteSeries:
    """Return one series of an answer."""

    def value(tag: str) -> str:
        values = item.get(tag, {}).get("Value") or [""]
        return str(values[0])

    count = value(INSTANCES)
    return RemoteSeries(
        checked_uid(value(STUDY)),
        checked_uid(value(SERIES)),
        value(MODALITY),
        value(DESCRIPTION),
        value(STUDY_DATE),
        int(count) if count.isdecimal() else 0,
    )


def instance_of(content: bytes, series_uid: str) -> str:
    """Return the identifier of a file that arrived.

    Raises:
        FormatError: It is no DICOM file of the series (`PACS_ANSWER`).
    """
    try:
        dataset = dcmread(BytesIO(content), specific_tags=["SOPInstanceUID", "SeriesInstanceUID"])
        uid, series = str(dataset.get("SOPInstanceUID", "")), str(dataset.get("SeriesInstanceUID", ""))
    except Exception as error:  # pydicom has no error of its own for every damage
        raise FormatError("The server sent a file that is no DICOM.", code="PACS_ANSWER") from error
    if not is_uid(uid) or series != series_uid:
        raise FormatError("The server sent a file of another series.", code="PACS_ANSWER")
    return uid


def refuse_foreign(path: Path) -> None:
    """Refuse to send what is no DICOM file.

    Raises:
        FormatError: `INPUT_NOT_AN_IMAGE`.
    """
    require_file(path)
    with path.open("rb") as handle:
        beginning = handle.read(132)
    if beginning[128:] != b"DICM":
        raise FormatError(f"{file_name(path)}: this is no DICOM file. Give files of DICOM results.")


@contextmanager
def answers() -> Iterator[None]:
    """Turn failures of the network into one refusal.

    Raises:
        ResourceError: `PACS_UNREACHABLE`.
    """
    try:
        yield
    except (httpx.RequestError, httpx.StreamError, httpx.InvalidURL, ssl.SSLError) as error:
        raise ResourceError(
            f"The PACS cannot be reached ({type(error).__name__}: {error!s:.120}). Check address, network and "
            "certificates.",
            code="PACS_UNREACHABLE",
        ) from error


def refuse_status(answer: httpx.Response) -> None:
    """Refuse an answer that is an error.

    Raises:
        FormatError: `PACS_DENIED`, `PACS_NOT_FOUND` or `PACS_REFUSED`.
    """
    status = answer.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise FormatError(
            f"The PACS does not let us in (status {status}). Give --token-file or --netrc, and look whether what they "
            "say is still valid.",
            code="PACS_DENIED",
        )
    if status == httpx.codes.NOT_FOUND:
        raise FormatError("The PACS has nothing there (status 404). Check address and UIDs.", code="PACS_NOT_FOUND")
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        raise FormatError(
            "The PACS takes no message of this size (status 413). Send fewer files at a time, or smaller ones: "
            "--seg-encoding labelmap.",
            code="PACS_REFUSED",
        )
    if answer.is_error or answer.is_redirect:
        raise FormatError(f"The PACS refused (status {status}). Look into its log.", code="PACS_REFUSED")


def listed(answer: httpx.Response, tag: str) -> int:
    """Return how many files an answer to sending lists under a tag."""
    try:
        found = answer.json().get(tag, {}).get("Value") or []
    except (ValueError, AttributeError):
        return 0
    if isinstance(found, list):
        return len(found)
    return 0
