"""A stand-in for a management controller that speaks Redfish: sessions, chassis, power, and faults.

    async with RedfishDouble(watts=lambda: plant.node_w, tls=context) as bmc:
        ...(bmc.url)
        bmc.fault = "busy"

It has what a meter of a node asks for: the session service, one chassis or several, and the power
of each by ``EnvironmentMetrics`` and by the older ``Power``, both of which may be left out. Powers
are W, as Redfish has them, and may be NaN or anything else that a broken controller says.
``python -m ebplan.twin.wire.redfish_double --port 0 --certificate chain-and-key.pem`` prints its
port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from secrets import token_hex
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

ROOT = "/redfish/v1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
USER = "ebplan"
PASSWORD = "a-password-1234"
Fault = Literal[
    "silent", "slow", "garbage", "busy", "endless", "other_origin", "wants_new_password"
]  # fmt: skip
"""``silent``: no answer. ``slow``: late by ``slow_s``. ``garbage``: no JSON. ``busy``: 503.
``endless``: an answer without an end. ``other_origin``: links lead to another host.
``wants_new_password``: sessions open, with the message that the password must be changed."""


class RedfishDouble:
    """One controller on loopback.

    Args:
        watts: what it says its chassis draws, asked at each reading.
        tls: certificate and key; without, it speaks plain HTTP, as no controller should.
        port: where it listens; 0 for a free one.
        chassis: their names.
        metrics: whether it has EnvironmentMetrics.
        legacy: whether it has Power.
        most_sessions: sessions open at once; more are refused with 503.
    """

    def __init__(
        self,
        watts: Callable[[], object] = lambda: 6200.0,
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        chassis: Sequence[str] = ("Node",),
        metrics: bool = True,
        legacy: bool = True,
        most_sessions: int = 4,
    ) -> None:
        self.watts, self.port, self.most_sessions = watts, port, most_sessions
        self.chassis, self.metrics, self.legacy = tuple(chassis), metrics, legacy
        self.password = PASSWORD
        self.energy_kwh: object = 120.5
        self.limit_w: object = None
        """Power limit that it shows; None for none."""
        self.fault: Fault | None = None
        """How it misbehaves from now on."""
        self.slow_s = 1.0
        self.calls: Counter[str] = Counter()
        """Requests by method and path."""
        self.sessions: dict[str, str] = {}
        """Token by number of the session."""
        self._tls = tls
        self._number = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is; its certificate must name ``localhost``."""
        return f"{'http' if self._tls is None else 'https'}://localhost:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; at the same port as before, if it did."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get(f"{ROOT}/", self._root)
        app.router.add_post(SESSIONS, self._log_in)
        app.router.add_delete(SESSIONS + "/{number}", self._log_out)
        app.router.add_get(f"{ROOT}/Chassis", self._all_chassis)
        app.router.add_get(f"{ROOT}/Chassis/{{name}}", self._one_chassis)
        app.router.add_get(f"{ROOT}/Chassis/{{name}}/EnvironmentMetrics", self._metrics)
        app.router.add_get(f"{ROOT}/Chassis/{{name}}/Power", self._power)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Be gone, and forget every session."""
        assert self._runner is not None
        await self._runner.cleanup()
        self.sessions.clear()

    def expire(self) -> None:
        """Forget every session, as a controller does after a while or a restart."""
        self.sessions.clear()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls[f"{request.method} {request.path}"] += 1
        open_to_all = request.path == f"{ROOT}/" or request.method == "POST"
        if not open_to_all and request.headers.get("X-Auth-Token") not in self.sessions.values():
            return web.json_response({"error": {"code": "Base.1.0.NoValidSession"}}, status=401)
        match self.fault:
            case "silent":
                await asyncio.Event().wait()
            case "slow":
                await asyncio.sleep(self.slow_s)
            case "garbage":
                return web.Response(body=bytes(range(0xFF, 0x7F, -1)))
            case "busy":
                return web.json_response({}, status=503, headers={"Retry-After": "30"})
            case "endless":
                return await _endless(request)
            case _:
                pass
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _root(self, request: web.Request) -> web.Response:
        return _json({"RedfishVersion": "1.17.0", "Links": {"Sessions": {"@odata.id": SESSIONS}}})

    async def _log_in(self, request: web.Request) -> web.Response:
        said = await request.json()
        if (said.get("UserName"), said.get("Password")) != (USER, self.password):
            error = {"code": "Base.1.0.InsufficientPrivilege"}
            return web.json_response({"error": error}, status=401)
        if len(self.sessions) >= self.most_sessions:
            code = "Base.1.0.SessionLimitExceeded"
            return web.json_response({"error": {"code": code}}, status=503)
        self._number += 1
        number, token = str(self._number), token_hex(16)
        self.sessions[number] = token
        body: dict[str, Any] = {"@odata.id": f"{SESSIONS}/{number}", "Id": number}
        if self.fault == "wants_new_password":
            message = {"MessageId": "Base.1.8.PasswordChangeRequired", "MessageArgs": [ROOT]}
            body["@Message.ExtendedInfo"] = [message]
        headers = {"X-Auth-Token": token, "Location": f"{SESSIONS}/{number}"}
        return web.json_response(body, status=201, headers=headers)

    async def _log_out(self, request: web.Request) -> web.Response:
        gone = self.sessions.pop(request.match_info["number"], None)
        return web.Response(status=404 if gone is None else 204)

    async def _all_chassis(self, request: web.Request) -> web.Response:
        links = [{"@odata.id": f"{ROOT}/Chassis/{name}"} for name in self.chassis]
        return _json({"Members": links, "Members@odata.count": len(links)})

    async def _one_chassis(self, request: web.Request) -> web.Response:
        at = self._known(request)
        host = "https://198.51.100.1" if self.fault == "other_origin" else ""
        said: dict[str, Any] = {"Id": request.match_info["name"]}
        if self.metrics:
            said["EnvironmentMetrics"] = {"@odata.id": f"{host}{at}/EnvironmentMetrics"}
        if self.legacy:
            said["Power"] = {"@odata.id": f"{host}{at}/Power"}
        return _json(said)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._known(request)
        if not self.metrics:
            raise web.HTTPNotFound
        limit = {"SetPoint": self.limit_w, "AllowableMin": 2000, "AllowableMax": 10200}
        return _json(
            {
                "PowerWatts": {"Reading": self.watts()},
                "EnergykWh": {"Reading": self.energy_kwh},
                "PowerLimitWatts": {
                    **limit,
                    "ControlMode": "Disabled" if self.limit_w is None else "Automatic",
                },
            }
        )

    async def _power(self, request: web.Request) -> web.Response:
        self._known(request)
        if not self.legacy:
            raise web.HTTPNotFound
        watts = self.watts()
        over = {"IntervalInMin": 1, "AverageConsumedWatts": watts}
        return _json(
            {
                "PowerControl": [
                    {
                        "MemberId": "0",
                        "PowerConsumedWatts": watts,
                        "PowerMetrics": {
                            **over, "MinConsumedWatts": watts, "MaxConsumedWatts": watts,
                        },
                        "PowerLimit": {"LimitInWatts": self.limit_w},
                    }
                ]
            }
        )  # fmt: skip

    def _known(self, request: web.Request) -> str:
        name = request.match_info["name"]
        if name not in self.chassis:
            raise web.HTTPNotFound
        return f"{ROOT}/Chassis/{name}"


def _json(said: object) -> web.Response:
    # NaN and the like are written as they are, which is no JSON: broken controllers do that
    return web.Response(text=json.dumps(said), content_type="application/json")


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65536)
        await asyncio.sleep(0)  # a write that fits the buffer lets nobody else run


async def _main(port: int, certificate: str | None, watts: float) -> None:
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    async with RedfishDouble(lambda: watts, tls=tls, port=port) as bmc:
        print(json.dumps({"port": bmc.port}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a Redfish controller on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certificate", help="PEM file with its key and chain; plain HTTP without")
    parser.add_argument("--watts", type=float, default=6200.0)
    told = parser.parse_args()
    asyncio.run(_main(told.port, told.certificate, told.watts))
