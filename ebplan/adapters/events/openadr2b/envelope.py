"""Messages on the wire: written from openleadr's templates, signed, opened, checked, verified.

What is taken from openleadr is what it does well: the templates, the published schema and the form
of the signature. Its reading of messages is not used: it makes numbers of ids that look like ones,
and it checks a signature on one copy of a message and reads another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebplan.adapters.events.openadr2b.read_events import NS, OADR, local
from ebplan.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Environment
    from lxml.etree import _Element

SIGNED_ID = "oadrSignedObject"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"


class BadMessage(Exception):
    """What came is no message that can be trusted; the text is one line of our own words."""


@dataclass(frozen=True)
class SigningKey:
    """What our messages are signed with."""

    certificate: bytes
    """PEM."""
    key: bytes
    """PEM; encrypted where there is a passphrase."""
    passphrase: str | None = None
    """Of the key."""

    @property
    def fingerprint(self) -> str:
        """The certificate's fingerprint as the server wants to know it."""
        from openleadr.utils import certificate_fingerprint

        # the first of a chain is our own
        end = b"-----END CERTIFICATE-----"
        return str(certificate_fingerprint(self.certificate.split(end)[0] + end + b"\n"))

    @classmethod
    def read(cls, certificate: str, key: str, passphrase: str | None, *, at: str) -> SigningKey:
        """Read the files.

        Raises:
            InputError: a file cannot be read.
        """
        try:
            return cls(Path(certificate).read_bytes(), Path(key).read_bytes(), passphrase)
        except OSError as error:
            raise InputError(
                field=at,
                value=f"{certificate}, {key}",
                allowed="readable PEM files",
                remedy=str(error.strerror),
            ) from None


class Envelope:
    """Writes our messages and opens those of the server.

    Args:
        key: what ours are signed with; unsigned if absent.
        vtn_fingerprint: of the certificate that all of the server's must be signed with.
    """

    def __init__(self, key: SigningKey | None = None, vtn_fingerprint: str | None = None) -> None:
        self._key, self._pinned = key, vtn_fingerprint

    def write(self, kind: str, **content: Any) -> bytes:
        """Return a message of this kind, from openleadr's template of that name."""
        return self.seal(self._templates.get_template(f"{kind}.xml").render(**content))

    def seal(self, signed_object: str) -> bytes:
        """Return a message around its ``oadrSignedObject``, signed where there is a key."""
        from lxml import etree

        tree = etree.fromstring(
            signed_object.encode(), etree.XMLParser(remove_blank_text=True, resolve_entities=False)
        )
        payload = etree.Element(f"{{{OADR}}}oadrPayload", nsmap={"oadr": OADR})
        if self._key is not None:
            payload.append(self._signature(tree, self._key))
        payload.append(tree)
        return bytes(etree.tostring(payload, xml_declaration=True, encoding="utf-8"))

    def open(self, raw: bytes) -> _Element:
        """Return the message in an answer, e.g. an ``oadrDistributeEvent`` element.

        Raises:
            BadMessage: it is not XML, not of the schema, or not signed as it must be.
        """
        from lxml import etree

        try:
            parser = etree.XMLParser(
                resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
            )
            tree = etree.fromstring(raw, parser)
        except (etree.XMLSyntaxError, ValueError):
            raise BadMessage("an answer that is no XML") from None
        if tree.getroottree().docinfo.doctype:
            raise BadMessage("an answer with a document type of its own")
        if not self._schema.validate(tree):
            error = self._schema.error_log.last_error
            raise BadMessage(f"an answer outside the OpenADR 2.0b schema: line {error.line}")
        signed = tree.find("oadr:oadrSignedObject", NS) if self._pinned is None else None
        if self._pinned is not None:
            signed = self._verified(tree, self._pinned)
        if signed is None or len(signed) != 1:
            raise BadMessage("an answer without one signed object")
        return signed[0]

    def _verified(self, tree: _Element, pinned: str) -> _Element:
        """Return the part of a message that was signed: what is read is what was verified."""
        from openleadr.utils import certificate_fingerprint, extract_pem_cert
        from signxml.exceptions import SignXMLException
        from signxml.verifier import XMLVerifier

        if tree.find(".//{http://www.w3.org/2000/09/xmldsig#}X509Certificate") is None:
            raise BadMessage("an answer that is not signed")
        try:
            certificate = extract_pem_cert(tree)
            shown = certificate_fingerprint(certificate)
            if shown != pinned:
                raise BadMessage(f"an answer signed with another certificate, {shown}")
            results = XMLVerifier().verify(tree, x509_cert=certificate, expect_references=2)
        except (SignXMLException, ValueError) as error:
            raise BadMessage(
                f"an answer whose signature is wrong: {type(error).__name__}"
            ) from None
        for result in results if isinstance(results, list) else [results]:
            if result.signed_xml is not None and local(result.signed_xml) == SIGNED_ID:
                return result.signed_xml
        raise BadMessage("an answer whose signature covers something else")

    @staticmethod
    def _signature(tree: _Element, key: SigningKey) -> _Element:
        from openleadr.messaging import (
            _create_replay_protect,
            get_signature_algorithm_from_private_key,
        )
        from signxml.algorithms import SignatureConstructionMethod, SignatureMethod
        from signxml.signer import XMLSigner

        signer = XMLSigner(method=SignatureConstructionMethod.detached, c14n_algorithm=C14N)
        signer.namespaces["oadr"] = OADR
        signer.sign_alg = SignatureMethod.from_fragment(
            get_signature_algorithm_from_private_key(key.key, key.passphrase)
        )
        return signer.sign(
            tree,
            key=key.key,
            cert=key.certificate.decode(),
            passphrase=None if key.passphrase is None else key.passphrase.encode(),
            reference_uri=f"#{SIGNED_ID}",
            signature_properties=_create_replay_protect(),
        )

    @cached_property
    def _templates(self) -> Environment:
        """Openleadr's templates; its own environment writes ids with ``&`` as broken XML."""
        from openleadr.messaging import TEMPLATES

        environment: Environment = TEMPLATES.overlay(autoescape=True)
        return environment

    @cached_property
    def _schema(self) -> Any:
        from openleadr.messaging import XML_SCHEMA

        return XML_SCHEMA
