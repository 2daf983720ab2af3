"""What the site says about its webhook: where it listens, and what a sender must show."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.events.address import LOOPBACK, Url
from ebplan.adapters.events.terms import EventTerms
from ebplan.adapters.secrets import SecretSource
from ebplan.document import FieldFault, Part, Positive


class ServerTls(Part):
    """Certificates of the listener, each a PEM file."""

    certificate: str
    """Our certificate, with its chain."""
    key: str
    """Its private key."""
    clients: str | None = None
    """Authority that signed the senders' certificates; where given, only they are let in."""


class WebhookSpec(Part):
    """A webhook as a source of events."""

    kind: Literal["webhook"] = "webhook"
    name: str = Field(default="webhook", min_length=1, max_length=128)
    """What this site calls the sender."""
    host: str = "127.0.0.1"
    """Address that is listened on."""
    port: Annotated[int, Field(ge=0, le=65535)]
    """Port that is listened on; 0 for a free one, for tests."""
    tls: ServerTls | None = None
    """Needed on any address that is not this machine's own, unless a proxy ends TLS."""
    behind_a_proxy: bool = False
    """Says that something else ends TLS in front of an address that others reach."""
    token: SecretSource | None = None
    """A sender shows it as ``Authorization: Bearer ...``."""
    signing_key: SecretSource | None = None
    """A sender signs each message with it; nothing secret then crosses the wire."""
    signed_within_s: Positive = 300.0
    """How far the time of a signature may lie from ours."""
    longest_bytes: Annotated[int, Field(ge=1024, le=2**24)] = 256 * 2**10
    """A longer message is refused."""
    terms: EventTerms = EventTerms()
    """What the contract adds to a single event (``kind`` event) where that says nothing itself; a
    ``grid_event`` says all."""
    report_url: Url | None = None
    """Where reports are posted, with the token or signed, as messages are."""
    report_timeout_s: Positive = 5.0
    """Longest wait for an answer to a report."""

    @model_validator(mode="after")
    def _shows_something(self) -> WebhookSpec:
        if self.token is None and self.signing_key is None:
            raise FieldFault(
                field="token",
                value=None,
                allowed="token, signing_key, or both (either then lets in)",
                remedy="add one: whoever may send moves the site's power",
            )
        if self.host not in LOOPBACK and self.tls is None and not self.behind_a_proxy:
            raise FieldFault(
                field="host",
                value=self.host,
                allowed="this machine's own address, or tls, or behind_a_proxy = true",
                remedy="add tls: without it calls are read and changed on the way",
            )
        return self
