"""The site as a node (VEN) of one OpenADR 2.0b server (VTN), which it polls.

openleadr's own client is not run: it ends when the server is away at its start or when a new
registration fails, and its scheduler goes on without it. Here whatever goes wrong leads to a new
registration after a wait, and with it to the whole list of events, so that nothing is missed that
the server changed in between, was restarted, or had its answer lost.
"""

from __future__ import annotations

import logging
import uuid
from math import inf
from typing import TYPE_CHECKING, Any

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr2b.envelope import BadMessage, Envelope, SigningKey
from ebplan.adapters.events.openadr2b.hearing import OK, Hearing, OptAnswer
from ebplan.adapters.events.openadr2b.line import Line, NoAnswer
from ebplan.adapters.events.openadr2b.read_events import local, read_events, text
from ebplan.adapters.events.openadr2b.registration import (
    NOT_REGISTERED,
    Registration,
    RegistrationLost,
    read_registration,
    require_ok,
)
from ebplan.adapters.events.openadr2b.reporting import Reporting
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.health import BackOff, Health, after_failure, after_success
from ebplan.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

LOG = logging.getLogger(__name__)
PARTY, EVENT, REPORT, POLL = "EiRegisterParty", "EiEvent", "EiReport", "OadrPoll"
"""Services of the server."""
FINE = {"response_code": OK, "response_description": "OK"}


class OpenAdr2bSource:
    """Implements ``EventSource`` for one OpenADR 2.0b server.

    Args:
        spec: what the site says about it.
        clock: what times polls.
        policy: how long it is left alone after a failure.

    Raises:
        InputError: a file of ``tls`` cannot be used.
    """

    def __init__(
        self, spec: OpenAdr2bSpec, *, clock: Clock | None = None, policy: BackOff | None = None
    ) -> None:
        self.spec = spec
        self._clock = clock or MonotonicClock()
        self._policy = policy or BackOff(first_s=1.0, longest_s=60.0)
        self._health = Health()
        tls, key = spec.tls, None
        self.fingerprint: str | None = None
        """Of our certificate, as the server's operator has to be given it."""
        if tls is not None:
            context = tls.context()
            passphrase = (
                None if tls.passphrase is None else tls.passphrase.read(at="tls.passphrase")
            )
            revealed = None if passphrase is None else passphrase.reveal()
            key = SigningKey.read(tls.certificate, tls.key, revealed, at="tls.certificate")
            self.fingerprint = key.fingerprint
        self._envelope = Envelope(key if spec.sign else None, spec.vtn_fingerprint)
        self._line = Line(
            spec.url,
            context=None if tls is None else context,
            server_name=None if tls is None else tls.server_name,
            timeout_s=spec.timeout_s,
        )
        self._registration: Registration | None = None
        self._reporting = Reporting(spec, self._clock)

    @property
    def name(self) -> str:
        """What this site calls it."""
        return self.spec.name

    async def run(self, inbox: Inbox) -> None:
        """Listen until cancelled; whatever fails is tried again."""
        hearing = Hearing(self.spec, inbox)
        LOG.info("%s: fingerprint of our certificate: %s", self.name, self.fingerprint or "none")
        try:
            while True:
                await self._attend(hearing)
                await self._clock.sleep(self._policy.wait_s(self._health.failures))
        finally:
            self._registration = None
            await self._line.close()

    async def report(self, report: SiteReport) -> Answer:
        """Keep a report for the server, which asks for values when it wants them."""
        self._reporting.keep(report)
        told: dict[str, Any] = {"device": self.name, "command": "report", "asked": report.uid}
        if self._registration is None or not self._health.well_since_s < inf:
            why = self._health.why or "not registered yet"
            return Unreachable(**told, why=f"{why}; kept until it asks", executed=False)
        if not self._reporting.wanted:
            return Refused(**told, why="it asks for no report; kept until it does")
        return Applied(**told, confirmed=", ".join(sorted(self._reporting.wanted)))

    # --- one registration, from its beginning to whatever ends it ---------------------------------

    async def _attend(self, hearing: Hearing) -> None:
        try:
            await self._enrol(hearing)
            await self._poll_on(hearing)
        except (NoAnswer, BadMessage, RegistrationLost) as error:
            self._failed(str(error))
        except InputError as error:  # of the inbox: what could not be kept was not answered
            self._failed(error.line())
        except Exception as error:  # it never ends by itself
            LOG.exception("%s: unexpected", self.name)
            self._failed(f"unexpected {type(error).__name__}")

    async def _enrol(self, hearing: Hearing) -> None:
        """Register, offer reports, and take the whole list of events."""
        known = self._registration
        created = await self._ask(
            PARTY,
            "oadrCreatePartyRegistration",
            "oadrCreatedPartyRegistration",
            ven_name=self.spec.ven_name,
            ven_id=self.spec.ven_id if known is None else known.ven_id,
            registration_id=None if known is None else known.registration_id,
            profile_name="2.0b",
            transport_name="simpleHttp",
            transport_address="",
            report_only=False,
            xml_signature=self.spec.sign,
            http_pull_model=True,
        )
        registration = read_registration(created)
        self._require_vtn(registration.vtn_id)
        self._registration = registration
        await self._offer_reports()
        listed = await self._ask(EVENT, "oadrRequestEvent", "oadrDistributeEvent", "oadrResponse")
        await self._take(listed, hearing)
        self._health = after_success(self._health, self._clock.now_s(), self._policy)
        if self._health.failures or known is None:
            LOG.info("%s: registered as %s", self.name, registration.ven_id)

    async def _poll_on(self, hearing: Hearing) -> None:
        registration = self._registration
        assert registration is not None
        poll_s = registration.poll_s or self.spec.poll_s
        now_s = self._clock.now_s()
        renew_s, poll_at_s = now_s + self.spec.refresh_s, now_s + poll_s
        while now_s < renew_s:
            due_s = min(poll_at_s, self._reporting.due_s, renew_s)
            await self._clock.sleep(max(due_s - now_s, 0.0))
            now_s = self._clock.now_s()
            if now_s >= self._reporting.due_s:
                await self._send_reports()
            if now_s >= poll_at_s:
                await self._take(await self._ask(POLL, "oadrPoll"), hearing)
                self._health = after_success(self._health, self._clock.now_s(), self._policy)
                poll_at_s = self._clock.now_s() + poll_s
            now_s = self._clock.now_s()

    async def _take(self, message: _Element, hearing: Hearing) -> None:
        """Do what a message asks."""
        match local(message):
            case "oadrResponse":
                require_ok(message)
            case "oadrDistributeEvent":
                await self._hear(message, hearing)
            case "oadrRequestReregistration":
                await self._tell(PARTY, "oadrResponse", response=FINE)
                raise RegistrationLost("it asks us to register again")
            case "oadrCancelPartyRegistration":
                await self._deregistered(message)
            case "oadrCreateReport":
                await self._create_reports(message)
            case "oadrCancelReport":
                await self._cancel_reports(message)
            case "oadrRegisterReport":
                # it offers reports of its own; none is wanted
                await self._tell(
                    REPORT,
                    "oadrRegisteredReport",
                    response=self._about(message),
                    report_requests=[],
                )
            case kind:
                LOG.warning("%s: %s is not understood", self.name, kind)

    # --- events -----------------------------------------------------------------------------------

    async def _hear(self, message: _Element, hearing: Hearing) -> None:
        require_ok(message)
        heard = read_events(message)
        self._require_vtn(heard.vtn_id)
        answers = hearing.hear(heard.events, self._ven_id)
        if not answers:
            return
        try:
            await self._tell(
                EVENT,
                "oadrCreatedEvent",
                response={**FINE, "request_id": heard.request_id},
                event_responses=[_event_response(a, heard.request_id) for a in answers],
            )
        except RegistrationLost as error:
            if error.code == NOT_REGISTERED:
                raise
            # it lists events and does not take our answer; told again with the next list
            LOG.warning("%s: our answer to its events is not taken: %s", self.name, error.why)

    # --- reports ----------------------------------------------------------------------------------

    async def _offer_reports(self) -> None:
        self._reporting.forget_requests()
        registered = await self._ask(
            REPORT, "oadrRegisterReport", "oadrRegisteredReport", reports=self._reporting.offered()
        )
        require_ok(registered)
        await self._create_reports(registered)

    async def _create_reports(self, message: _Element) -> None:
        created = self._reporting.create(message)
        if created.requested:
            await self._tell(
                REPORT,
                "oadrCreatedReport",
                response={**self._about(message), **created.response},
                pending_reports=[{"report_request_id": r} for r in self._reporting.pending],
            )
        if created.describe:
            await self._offer_reports()

    async def _cancel_reports(self, message: _Element) -> None:
        if text(message, "pyld:reportToFollow") == "true":
            self._reporting.make_due(message)
            await self._send_reports()
        code, said = self._reporting.cancel(message)
        await self._tell(
            REPORT,
            "oadrCanceledReport",
            response={
                **self._about(message), "response_code": code, "response_description": said,
            },
            pending_reports=[{"report_request_id": r} for r in self._reporting.pending],
        )  # fmt: skip

    async def _send_reports(self) -> None:
        for due in self._reporting.collect():
            raw = self._envelope.seal(self._reporting.write(due, str(uuid.uuid4()), self._ven_id))
            updated = self._envelope.open(await self._line.post(REPORT, raw))
            require_ok(updated)
            self._reporting.sent(due)
            cancel = updated.find("{*}oadrCancelReport")
            if cancel is not None:
                await self._cancel_reports(cancel)

    # --- registration -----------------------------------------------------------------------------

    async def _deregistered(self, message: _Element) -> None:
        registration, self._registration = self._registration, None
        await self._tell(
            PARTY,
            "oadrCanceledPartyRegistration",
            response=self._about(message),
            registration_id=registration.registration_id if registration else None,
            ven_id=registration.ven_id if registration else None,
        )
        raise RegistrationLost("it has ended our registration")

    def _require_vtn(self, shown: str | None) -> None:
        if self.spec.vtn_id is not None and shown != self.spec.vtn_id:
            raise BadMessage(f"an answer of another server, {shown or 'without a name'}")

    @property
    def _ven_id(self) -> str | None:
        return self.spec.ven_id if self._registration is None else self._registration.ven_id

    # --- messages ---------------------------------------------------------------------------------

    async def _ask(self, service: str, kind: str, *expected: str, **content: Any) -> _Element:
        """Send a message and return the one that comes back.

        Raises:
            NoAnswer: none came.
            BadMessage: it is none, or none of those expected.
        """
        content.setdefault("ven_id", self._ven_id)
        message = self._envelope.write(kind, request_id=str(uuid.uuid4()), **content)
        answer = self._envelope.open(await self._line.post(service, message))
        if local(answer) == "oadrResponse":
            require_ok(answer)
        elif local(answer) == "oadrRequestReregistration" and expected:
            raise RegistrationLost("it asks us to register again")
        if expected and local(answer) not in expected:
            raise BadMessage(f"an answer that is no {expected[0]}")
        return answer

    async def _tell(self, service: str, kind: str, **content: Any) -> None:
        """Send an answer of ours; what comes back may be empty.

        Raises:
            NoAnswer: nothing came back; it is told again after the next registration.
            BadMessage: what came back is no message.
            RegistrationLost: it was not taken.
        """
        content.setdefault("ven_id", self._ven_id)
        raw = await self._line.post(service, self._envelope.write(kind, **content))
        if raw.strip():
            require_ok(self._envelope.open(raw))

    @staticmethod
    def _about(message: _Element) -> dict[str, Any]:
        """Return a response that refers to a message."""
        asked = text(message, "pyld:requestID") or text(message, "ei:eiResponse/pyld:requestID")
        return {**FINE, "request_id": asked or ""}

    def _failed(self, why: str) -> None:
        if why != self._health.why or not self._health.failures:
            LOG.warning("%s: %s; trying again", self.name, why)
        self._health = after_failure(self._health, self._clock.now_s(), why)


def _event_response(answer: OptAnswer, request_id: str) -> dict[str, Any]:
    return {
        "response_code": answer.code,
        "response_description": answer.why or "OK",
        "request_id": request_id,
        "event_id": answer.uid,
        "modification_number": answer.revision,
        "opt_type": answer.opt,
    }
