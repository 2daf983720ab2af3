"""Time stamps of checkpoints by a third party (RFC 3161), where somebody wants them.

The writer's clock says when a record was made; a stamp shows that a checkpoint, and so all that it
covers, was there at a time that an authority vouches for. Asking one is a command of its own: the
process that controls the site never waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from ebplan.audit import note
from ebplan.audit.folder import last_checkpoint
from ebplan.audit.reopen import write_durably
from ebplan.errors import InputError

LONGEST_ANSWER_BYTES = 2**16


def ask_for_stamp(
    folder: Path, url: str, roots: Sequence[Certificate], *, timeout_s: float
) -> Path:
    """Let an authority stamp the newest checkpoint, and keep the answer in the log's folder.

    Args:
        folder: the log's.
        url: where the authority answers RFC 3161 over HTTP.
        roots: certificates that its own must lead to.
        timeout_s: longest wait.

    Raises:
        InputError: there is no checkpoint, the authority does not answer, or its answer does not
            stamp what it was asked to.
    """
    try:
        scheme = urlparse(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https"):
        raise _no_stamp(url, "not a web address")
    checkpoint = last_checkpoint(folder)
    content = checkpoint.to_text().encode()
    request = TimestampRequestBuilder().data(content).build()
    headers = {"Content-Type": "application/timestamp-query"}
    try:
        with urlopen(
            Request(url, data=request.as_bytes(), headers=headers), timeout=timeout_s
        ) as answer:
            raw = answer.read(LONGEST_ANSWER_BYTES)
        verifier = _with_roots(VerifierBuilder.from_request(request), roots).build()
        verifier.verify_message(decode_timestamp_response(raw), content)
    except HTTPError as error:
        with error:
            raise _no_stamp(url, str(error)) from None
    except (OSError, HTTPException, ValueError, VerificationError) as error:
        raise _no_stamp(url, str(error)) from None
    path = folder / "stamps" / f"{checkpoint.size:012d}.tsr"
    path.parent.mkdir(exist_ok=True)
    write_durably(path, raw)
    return path


def stamped_at(path: Path, checkpoint: note.Checkpoint, roots: Sequence[Certificate]) -> datetime:
    """Return when an authority saw a checkpoint.

    Raises:
        ValueError: the file is no stamp of it by an authority that the roots vouch for.
    """
    try:
        answer = decode_timestamp_response(path.read_bytes())
        verifier = _with_roots(VerifierBuilder(), roots).build()
        verifier.verify_message(answer, checkpoint.to_text().encode())
    except VerificationError as error:
        raise ValueError(str(error)) from None
    return answer.tst_info.gen_time


def read_roots(path: Path) -> list[Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        InputError: it holds none.
    """
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            field="(file)",
            value=str(error),
            allowed="certificates in PEM",
            remedy="give the authority's root certificate",
            file=str(path),
        ) from None


def _with_roots(builder: VerifierBuilder, roots: Sequence[Certificate]) -> VerifierBuilder:
    for root in roots:
        builder = builder.add_root_certificate(root)
    return builder


def _no_stamp(url: str, why: str) -> InputError:
    return InputError(
        field="authority",
        value=f"{url}: {why}",
        allowed="an authority that answers RFC 3161 and leads to the roots given",
        remedy="check the address and the root certificate; the log is as it was",
    )
