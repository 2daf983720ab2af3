"""TLS in which both sides prove who they are, with certificates of one's own.

There are no default keys. What a device thinks of our certificate shows only at the first read:
with TLS 1.3 a connection opens before the device has looked at it.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from ebplan.adapters.secrets import OTHERS, SecretSource
from ebplan.document import Part
from ebplan.errors import InputError

if TYPE_CHECKING:
    from pymodbus.client import AsyncModbusTlsClient


class TlsFiles(Part):
    """Where the certificates lie, each a PEM file."""

    certificate: str
    """Our certificate, with the chain up to the authority; the device reads our role in it."""
    key: str
    """Its private key; a file that nobody but its owner may read."""
    passphrase: SecretSource | None = None
    """Of the key, where it is encrypted."""
    authority: str
    """Certificate of the authority that signed the device's; the system's are not trusted."""
    server_name: str | None = None
    """Name in the device's certificate, where that is not the host it is reached at."""

    def context(self, *, at: str = "tls") -> ssl.SSLContext:
        """Return what a client needs: TLS 1.2 or newer, the device's certificate checked.

        Args:
            at: field that names these files, for the error.

        Raises:
            InputError: a file is missing, may be read by others, or is no certificate or key.
        """
        self._guard_key(at)
        passphrase = self.passphrase and self.passphrase.read(at=f"{at}.passphrase").reveal()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(self.authority)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"{at}.authority", self.authority, error) from None
        try:
            # never None: the library would ask for it on the terminal
            context.load_cert_chain(self.certificate, self.key, passphrase or "")
        except (OSError, ssl.SSLError) as error:
            raise _unusable(f"{at}.certificate", self.certificate, error) from None
        return context

    def _guard_key(self, at: str) -> None:
        try:
            mode = Path(self.key).stat().st_mode
        except OSError as error:
            raise _unusable(f"{at}.key", self.key, error) from None
        if mode & OTHERS:
            raise InputError(
                field=f"{at}.key",
                value=f"mode {stat.S_IMODE(mode):04o}",
                allowed="a file that only its owner may read",
                remedy=f"chmod 600 {self.key}",
            )


def read_frames_by_length(client: AsyncModbusTlsClient) -> None:
    """Let a TLS client find the end of an answer by its length, not by the TLS record.

    A device may send the header and the rest in two records; taken as two answers, neither is one.
    Call it before the client connects.
    """
    from pymodbus.framer import FRAMER_NAME_TO_CLASS, FramerType
    from pymodbus.pdu import DecodePDU

    # No public way leads there: the constructor takes this framer for plain TCP only.
    client.ctx.framer = FRAMER_NAME_TO_CLASS[FramerType.SOCKET](DecodePDU(False))


def _unusable(field: str, path: str, error: OSError) -> InputError:
    return InputError(
        field=field,
        value=f"{path}: {error.strerror or error}",
        allowed="a readable PEM file; the key must fit the certificate",
        remedy="name the site's own files",
    )
