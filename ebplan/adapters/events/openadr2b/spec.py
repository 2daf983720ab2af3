"""What the site says about one OpenADR 2.0b server: where it is, who we are, what calls mean."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ebplan.adapters.events.terms import EventTerms
from ebplan.adapters.modbus.tls import TlsFiles
from ebplan.document import FieldFault, Part, Positive

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
Name = Annotated[str, Field(min_length=1, max_length=200)]


def _secure(url: str) -> str:
    """Refuse an address that would carry calls in the open."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        parts = urlsplit("")
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    bare = parts.username is None and not parts.query and not parts.fragment
    if not parts.hostname or not bare or (parts.scheme != "https" and not plain):
        raise FieldFault(
            field="",
            value=url,
            allowed="https://host[:port][/path], or http:// on this machine",
            remedy="write the address so, e.g. https://vtn.example/OpenADR2/Simple/2.0b",
        )
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_secure)]


class ProgrammeSpec(Part):
    """What the calls of one programme mean: what its contract says and its messages do not."""

    terms: EventTerms = EventTerms()
    """Speed, baseline, money, levels."""
    delta_is: Literal["change", "reduction"] = "change"
    """What > 0 means in LOAD_DISPATCH delta: that much more draw (``change``), or that much less
    (``reduction``), as programmes that only shed write it."""
    setpoint_is: Literal["draw", "limit"] = "draw"
    """What LOAD_DISPATCH setpoint means: the draw to hold, which needs a fixed baseline, or a draw
    that may not be exceeded."""


class OpenAdr2bSpec(Part):
    """One OpenADR 2.0b server as a source of events."""

    kind: Literal["openadr2b"] = "openadr2b"
    name: Name = "openadr2b"
    """What this site calls it."""
    url: Url
    """Its address up to the names of services, e.g. ``https://vtn.example/OpenADR2/Simple/2.0b``."""
    ven_name: Name
    """Our name at the server."""
    ven_id: Name | None = None
    """Our id, where the server gave it beforehand; without, registration gives one."""
    vtn_id: Name | None = None
    """Id that the server must show; any if absent."""
    tls: TlsFiles | None = None
    """Our certificate and the authority of the server's; needed with https."""
    sign: bool = False
    """Whether our messages carry an XML signature, made with the key of ``tls``."""
    vtn_fingerprint: Annotated[str, Field(pattern=r"^([0-9A-F]{2}:){9}[0-9A-F]{2}$")] | None = None
    """OpenADR fingerprint of the certificate that the server signs with; given, every message of
    the server must be signed with it."""
    programmes: dict[Name, ProgrammeSpec] = Field(default_factory=dict)
    """What calls mean, by market context."""
    other: ProgrammeSpec | None = None
    """What calls of any other market context mean; without, they are refused."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """The site's currency; prices in another one are refused."""
    resources: tuple[Name, ...] = ()
    """Our resource ids, as targets name them; the first stands in reports."""
    groups: tuple[Name, ...] = ()
    """Ids and names of groups that we belong to."""
    parties: tuple[Name, ...] = ()
    """Our party ids."""
    device_classes: tuple[Name, ...] = ()
    """Device classes that are ours; a signal for other classes is not ours."""
    open_end_s: Positive = 86400.0
    """A call without an end is planned for so long from its start on (assumed); it ends earlier
    where the server says so."""
    absent: Literal["cancelled", "kept"] = "cancelled"
    """What a call becomes that the server no longer lists. The profile means it as taken back; a
    server that sends only what changed needs ``kept``."""
    poll_s: Positive = 10.0
    """How often the server is asked where it does not say it itself."""
    refresh_s: Positive = 3600.0
    """How often registration and the list of events are renewed: a server that was restarted and
    has forgotten us need not say so."""
    timeout_s: Positive = 10.0
    """How long an answer may take in all."""
    stale_s: Positive = 900.0
    """A value that ended longer ago is no longer reported."""

    @property
    def resource(self) -> str:
        """Our name in reports."""
        return self.resources[0] if self.resources else self.ven_name

    def programme(self, market_context: str) -> ProgrammeSpec | None:
        """Return what a programme's calls mean; None where it is not taken part in."""
        return self.programmes.get(market_context, self.other)

    @model_validator(mode="after")
    def _proves_itself(self) -> OpenAdr2bSpec:
        if self.tls is None and (self.sign or self.url.startswith("https:")):
            raise FieldFault(
                field="tls",
                value=None,
                allowed="certificate, key and authority",
                remedy="add them: https asks for both sides' certificates, signing for ours",
            )
        if not self.programmes and self.other is None:
            raise FieldFault(
                field="programmes",
                value={},
                allowed="at least one programme, or other",
                remedy="declare what calls mean, by market context",
            )
        return self
