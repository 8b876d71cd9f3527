"""Who we are, and whom we believe, over TLS between DICOM nodes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from prosect.errors import UsageError
from prosect.io.paths import file_name

__all__ = ["Trust"]


@dataclass(frozen=True)
class Trust:
    """Our certificate, and the authorities of others.

    Attributes:
        certificate: Certificate and key of this node, in one PEM file.
        authority: Certificates of the authorities that are believed; None believes the system's where we send, and
            lets in every caller, encrypted, where we listen.
    """

    certificate: Path
    authority: Path | None = None

    def listening(self) -> ssl.SSLContext:
        """Return what a node listens with: callers show a certificate of the authority, where there is one.

        Raises:
            UsageError: A file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        if self.authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def sending(self) -> ssl.SSLContext:
        """Return what files are sent with: the other shows a certificate of the authority for the name it is called by.

        Raises:
            UsageError: A file cannot be used.
        """
        context = ssl.create_default_context() if self.authority is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        """Load both files."""
        path = self.certificate
        try:
            context.load_cert_chain(path)
            if self.authority is not None:
                path = self.authority
                context.load_verify_locations(path)
        except OSError as error:
            raise UsageError(
                f"{file_name(path)}: this is no PEM file that TLS can use ({error.strerror or error.args[-1]}). Give "
                "certificate and key of this node by --tls-cert, and certificates of authorities by --tls-ca."
            ) from error
