"""What the site says about one OpenADR 3 server: where it is, who we are, what its calls mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.events.address import LOOPBACK, Url
from ebplan.adapters.events.terms import EventTerms
from ebplan.adapters.secrets import SecretSource
from ebplan.document import FieldFault, Part, Positive

Name = Annotated[str, Field(min_length=1, max_length=128)]
Level = Annotated[int, Field(ge=0, le=3)]


class Descriptor(Part):
    """Units of a payload, where messages do not say them."""

    units: Name | None = None
    """As in the published list, e.g. ``KW``."""
    currency: Name | None = None
    """ISO 4217, e.g. ``JPY``."""


class ProgramSpec(Part):
    """One program that the site takes part in."""

    name: Name | None = None
    """Its ``programName``; the server is asked for the id."""
    id: Name | None = None
    """Its id at the server, where that is known."""
    terms: EventTerms | None = None
    """What its contract says; those of the source if absent."""
    assumed: dict[Name, Descriptor] = Field(default_factory=dict)
    """Units by payload type, used only where neither the event nor the program tells them."""

    @model_validator(mode="after")
    def _one_of_two(self) -> ProgramSpec:
        if (self.name is None) == (self.id is None):
            raise FieldFault(
                field="name",
                value=self.name,
                allowed="one of name and id",
                remedy="keep one",
            )
        return self


class WebhookSpec(Part):
    """Where the server posts its notifications."""

    host: str = "127.0.0.1"
    """Address that is listened on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port that is listened on; 0 for a free one, for tests."""
    public_url: Url | None = None
    """Where the server finds it, e.g. behind a proxy that ends TLS; without, the address above."""
    token: SecretSource
    """What the server must show."""
    certificate: str | None = None
    """PEM file with our certificate, where TLS ends here."""
    key: str | None = None
    """PEM file with its private key."""

    @model_validator(mode="after")
    def _reachable(self) -> WebhookSpec:
        if (self.certificate is None) != (self.key is None):
            raise FieldFault(
                field="key",
                value=self.key,
                allowed="certificate and key, or neither",
                remedy="add the one that is missing",
            )
        if self.public_url is None and self.host not in LOOPBACK:
            raise FieldFault(
                field="public_url",
                value=None,
                allowed="the address that the server is told",
                remedy="add it: an address that is listened on need not be one that can be called",
            )
        return self


class OpenAdr3Spec(Part):
    """One OpenADR 3 server as a source of events."""

    kind: Literal["openadr3"] = "openadr3"
    name: Name = "openadr3"
    """What this site calls it."""
    url: Url
    """Base of its API, e.g. ``https://vtn.example/openadr3/3.0.1``."""
    version: Literal["3.0.1", "3.1"] = "3.0.1"
    """Which of the two it speaks: requests differ, events of both are read."""
    token_url: Url | None = None
    """Where tokens are got; ``<url>/auth/token`` if absent."""
    client_id: SecretSource
    """OAuth2 client id."""
    client_secret: SecretSource
    """OAuth2 client secret."""
    scope: Name | None = None
    """OAuth2 scopes asked for, where its operator names others than the standard."""
    authority: str | None = None
    """PEM file of the authority that signed its certificate; the system's authorities if absent."""
    programs: Annotated[tuple[ProgramSpec, ...], Field(min_length=1, max_length=50)]
    """Programs whose events are heard; all others are not."""
    ven_name: Name
    """Our name at the server."""
    register_ven: bool = True
    """Whether we make ourselves known under it where it is unknown there."""
    resource_name: Name | None = None
    """Our name in reports and targets; ``ven_name`` if absent."""
    targets: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    """What else we are targeted by, as {"GROUP": ["north"]}; with 3.1 only the values count."""
    terms: EventTerms = EventTerms()
    """What the contract adds to the messages."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """The site's currency; prices in another one are refused."""
    relative_is: Literal["change", "reduction"] = "change"
    """What > 0 means in DISPATCH_SETPOINT_RELATIVE: that much more draw (``change``, by its
    definition), or that much less (``reduction``): the published list allows no number < 0, and
    programs that only shed write the amount shed."""
    emergency_level: Level | None = None
    """SIMPLE level that ALERT_GRID_EMERGENCY stands for; without, the alert is refused."""
    horizon_s: Positive = 86400.0
    """An event without an end is planned for so long at least, and extended while it stands."""
    poll_s: Positive = 60.0
    """How often its events are listed; also what heals a notification that was lost."""
    timeout_s: Positive = 10.0
    """How long an answer may take."""
    skew_tolerance_s: Positive = 2.0
    """Clock skew above which a warning is given."""
    storage_usable_kwh: Positive | None = None
    """Energy in the full battery, where it is to be reported."""
    webhook: WebhookSpec | None = None
    """Where notifications are taken; without, events are only polled."""

    @property
    def resource(self) -> str:
        """Our name in reports."""
        return self.resource_name or self.ven_name

    @property
    def scopes(self) -> str:
        """OAuth2 scopes asked for; those of the standard (OpenAPI, securitySchemes) if not told."""
        if self.scope is not None:
            return self.scope
        reads = "read_all" if self.version == "3.0.1" else "read_targets read_ven_objects"
        return f"{reads} write_reports write_subscriptions write_vens"

    @property
    def tokens_at(self) -> str:
        """Where tokens are got."""
        return self.token_url or f"{self.url}/auth/token"
