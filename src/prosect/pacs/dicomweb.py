"""A PACS over DICOMweb: which series it has (QIDO-RS), their files (WADO-RS), and results sent to it (STOW-RS)."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
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

__all__ = ["Address", "DicomWeb", "RemoteSeries"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JSON = "application/dicom+json"
MAX_LISTED = 1000
MAX_FILES = 100_000
# DICOM's tags, as JSON spells them.
MODALITY, DESCRIPTION, SERIES, STUDY = "00080060", "0008103E", "0020000E", "0020000D"
STUDY_DATE, INSTANCES, FAILED, INSTANCE = "00080020", "00201209", "00081198", "00081155"


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
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.url!r:.80} is no address of a PACS; give https://HOST/dicom-web.")
        if parts.username or parts.password:
            raise UsageError("A password in the address would be seen and logged; use a token file or .netrc.")
        secret = self.token or self.use_netrc
        if secret and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise UsageError("Token or password would travel without encryption; use https.")

    @property
    def trust(self) -> ssl.SSLContext:
        """Which servers are believed, and who this client is."""
        context = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate)
        return context


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
            auth=httpx.NetRCAuth() if address.use_netrc else None,
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

        Raises:
            FormatError: As `series`, or the series is not there (`PACS_NOT_FOUND`).
            ResourceError: As `series`.
        """
        place = f"/studies/{checked_uid(study_uid)}/series/{checked_uid(series_uid)}"
        make_folder(folder)
        count = 0
        with answers(), self._http.stream("GET", place, headers={"Accept": ACCEPT}) as answer:
            if answer.is_error:
                answer.read()
            refuse_status(answer)
            for content in parts(answer.iter_bytes(), boundary_of(answer.headers.get("content-type", ""))):
                count += 1
                if count > MAX_FILES:
                    raise FormatError(f"The series has more than {MAX_FILES} files.", code="PACS_ANSWER")
                write_atomically(folder / file_name_of(instance_of(content, series_uid)), [content])
        return count

    def put(self, paths: Sequence[Path]) -> int:
        """Send DICOM files and return their number.

        Raises:
            FormatError: As `series`; or a file is no DICOM; or the PACS keeps not all of them (`PACS_REFUSED`).
            ResourceError: As `series`.
        """
        for path in paths:
            refuse_foreign(path)
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        with answers():
            answer = self._http.post(
                "/studies", content=file_parts(paths), headers={"Content-Type": kind, "Accept": JSON}
            )
        failed = failures(answer)
        if failed:
            raise OutputError(
                f"The server did not keep {failed} of {len(paths)} files. Look into its log for the reason.",
                code="PACS_REFUSED",
            )
        refuse_status(answer)
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
    except (httpx.TransportError, httpx.InvalidURL, ssl.SSLError) as error:
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
            f"The PACS does not let us in (status {status}). Give --token-file or --netrc.", code="PACS_DENIED"
        )
    if status == httpx.codes.NOT_FOUND:
        raise FormatError("The PACS has nothing there (status 404). Check address and UIDs.", code="PACS_NOT_FOUND")
    if answer.is_error or answer.is_redirect:
        raise FormatError(f"The PACS refused (status {status}). Look into its log.", code="PACS_REFUSED")


def failures(answer: httpx.Response) -> int:
    """Return how many files an answer to sending says were not kept."""
    try:
        listed: Iterable[Any] = answer.json().get(FAILED, {}).get("Value") or []
        return len(list(listed))
    except (ValueError, AttributeError):
        return 0
