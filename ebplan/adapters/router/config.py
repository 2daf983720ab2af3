"""What HAProxy runs: rendered from a small document, the safe state included.

**Dead man.** A map holds the time till which the plan is followed. Once it lies in the past, or
further ahead than any lease may reach (the clock was set back), live weights, limits and lower
shares no longer count: every request goes to a server chosen by the static weights. Nothing of the
controller is needed for that. The static choice (``use-server``) stands in the same backend as the
live one: with a backend of its own for the safe state, ``maxconn`` would count twice.

**Admission.** What is limited is the rate that was let in: a request is counted only when it
passes, so a flood cannot starve itself. Two windows hold it, of 1 s (against bursts) and of 10 s
(for fractions of a request per second). Connections that stay open are counted like any other.

**The edge.** Clients do not choose their class: it comes from the digest of their key, else from
their path, else it is the default; headers that claim one are dropped. Only ``/v1/`` is passed on:
engines that can sleep take ``/sleep`` from anybody who reaches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.router.runtime_commands import FULL_WEIGHT, MAP_PATH, NAME
from ebplan.document import Document, FieldFault, Fraction, Part, Positive

Name = Annotated[str, Field(pattern=f"^{NAME}$")]
AbsolutePath = Annotated[str, Field(pattern=f"^{MAP_PATH}$")]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\[\]:-]{1,200}:[0-9]{1,5}$")]
PathPrefix = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-]{1,64}){1,8}$")]
KeyDigest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

ADMITTED = "admitted"
"""Table that counts what each class was let in."""
SLOTS = 1000
"""Steps of the static choice among servers, and of the share that goes to the lower precision."""
WINDOW_S = 10
"""Longer window of the admission, s: rates are held to a tenth of a request per second."""


class Server(Part):
    """One serving engine as the router reaches it."""

    address: Address
    """Host and port."""
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Requests that it is given at once; more wait in the router, by priority. None: no limit."""
    safe_weight: Fraction = 1.0
    """Share of a full server's traffic while no plan is followed."""


class ServedPool(Part):
    """The servers of one pool."""

    servers: Annotated[dict[Name, Server], Field(min_length=1)]
    """Servers of the pool's own precision."""
    lower: dict[Name, Server] = Field(default_factory=dict)
    """Servers of the lower precision; they get traffic only while a plan is followed."""
    can_sleep: bool = True
    """Whether engines answer ``/is_sleeping``; a sleeping one then leaves the pool by itself."""


class RoutedClass(Part):
    """Requests of one class."""

    pool: Name
    """Pool that serves it."""
    priority: Annotated[int, Field(ge=-2047, le=2047)] = 0
    """Place in the queue; lower goes first."""
    protected: bool
    """Protected requests are never turned away."""
    key_sha256: tuple[KeyDigest, ...] = ()
    """SHA-256 of the Authorization headers, ``Bearer `` included, of the clients in this class."""
    paths: tuple[PathPrefix, ...] = ()
    """Path prefixes of this class; the prefix is taken off before the engine sees it."""


class RouterConfig(Document):
    """A router: its pools, classes and safe state."""

    kind: Literal["router"] = "router"
    name: Name
    """Who this router is; it must answer with this name."""
    listen: Address
    """Where clients reach it."""
    certificate: AbsolutePath | None = None
    """Certificate and key in one PEM file; None: no TLS (something before it ends TLS)."""
    socket: AbsolutePath
    """Runtime socket, mode 0600."""
    directory: AbsolutePath
    """Where the map files lie."""
    pools: Annotated[dict[Name, ServedPool], Field(min_length=1)]
    """By name."""
    classes: Annotated[dict[Name, RoutedClass], Field(min_length=1)]
    """By name."""
    default_class: Name
    """Class of requests that nothing else puts into one."""
    longest_lease_s: Positive = 60.0
    """Longest lease that is granted."""
    retry_after_s: Annotated[int, Field(ge=1)] = 2
    """What requests that are turned away are told to wait."""
    answer_timeout_s: Annotated[int, Field(ge=1)] = 600
    """Longest silence of a server within an answer."""
    queue_timeout_s: Annotated[int, Field(ge=1)] = 60
    """Longest wait in the queue."""

    @model_validator(mode="after")
    def _fits_together(self) -> RouterConfig:
        known = sorted(self.pools)
        for name, served in self.classes.items():
            if served.pool not in self.pools:
                raise FieldFault(
                    field=f"classes.{name}.pool",
                    value=served.pool,
                    allowed=f"one of {known}",
                    remedy="name a pool of this router",
                )
        if self.default_class not in self.classes:
            raise FieldFault(
                field="default_class",
                value=self.default_class,
                allowed=f"one of {sorted(self.classes)}",
                remedy="name a class of this router",
            )
        self._each_once(self._every_server(), "pools", "a server name once in the whole router")
        for what in ("key_sha256", "paths"):
            listed = [entry for c in self.classes.values() for entry in getattr(c, what)]
            self._each_once(listed, "classes", f"an entry of {what} in one class only")
        for name, pool in self.pools.items():
            if not any(_safe_weight(server) for server in pool.servers.values()):
                raise FieldFault(
                    field=f"pools.{name}.servers",
                    value="safe_weight 0 for every server",
                    allowed="at least one server that serves while no plan is followed",
                    remedy="raise a safe_weight",
                )
        return self

    def _every_server(self) -> list[str]:
        return [name for pool in self.pools.values() for name in (*pool.servers, *pool.lower)]

    @staticmethod
    def _each_once(listed: list[str], field: str, allowed: str) -> None:
        for entry in listed:
            if listed.count(entry) > 1:
                raise FieldFault(field=field, value=entry, allowed=allowed, remedy="rename one")

    @property
    def description(self) -> str:
        """Says which configuration a router runs: it answers with this."""
        return f"ebplan {self.digest()[:16]}"

    def backend_of(self) -> dict[str, str]:
        """Return the backend of each server."""
        own = {s: f"own_{name}" for name, pool in self.pools.items() for s in pool.servers}
        lower = {s: f"lower_{name}" for name, pool in self.pools.items() for s in pool.lower}
        return own | lower

    def map_path(self, name: str) -> str:
        """Return the path of a map by its name, e.g. ``lease``."""
        return f"{self.directory}/{name}.map"


def render_maps(config: RouterConfig) -> dict[str, str]:
    """Return the content of every map file, by path, as it is while no plan is followed."""
    classes = config.classes
    maps: dict[str, dict[str, object]] = {
        "lease": {"until_ms": 0},
        "admit": dict.fromkeys(classes, -1),
        "lower": dict.fromkeys(classes, 0),
        "priority": {name: c.priority for name, c in classes.items()},
        "keys": {digest: name for name, c in classes.items() for digest in c.key_sha256},
        "paths": {f"{p}/": name for name, c in classes.items() for p in c.paths},
    }
    return {
        config.map_path(name): "".join(f"{key} {value}\n" for key, value in entries.items())
        for name, entries in maps.items()
    }


def render(config: RouterConfig) -> str:
    """Return the HAProxy configuration."""
    sections = [_global(config), _defaults(config), _frontend(config), _table()]
    for name, pool in config.pools.items():
        sections.append(_own(name, pool))
        if pool.lower:
            sections.append(_lower(name, pool))
    return "\n\n".join("\n".join(lines) for lines in map(list, sections)) + "\n"


def _global(config: RouterConfig) -> Iterator[str]:
    yield "# Rendered from the router document: change that, not this."
    yield "global"
    yield f"    node {config.name}"
    yield f"    description {config.description}"
    yield f"    stats socket {config.socket} mode 600 level admin"
    yield "    stats timeout 10s"


def _defaults(config: RouterConfig) -> Iterator[str]:
    yield "defaults"
    yield "    mode http"
    yield "    option redispatch"
    yield "    retries 2"
    yield "    timeout connect 2s"
    yield "    timeout http-request 30s"
    yield f"    timeout client {config.answer_timeout_s}s"
    yield f"    timeout server {config.answer_timeout_s}s"
    yield f"    timeout queue {config.queue_timeout_s}s"
    yield "    timeout check 1s"


def _frontend(config: RouterConfig) -> Iterator[str]:
    tls = "" if config.certificate is None else f" ssl crt {config.certificate}"
    longest_ms = round(config.longest_lease_s * 1000.0)
    yield "frontend clients"
    yield f"    bind {config.listen}{tls}"
    yield "    # who asks: never what the client says of itself"
    yield "    http-request del-header ^x[-_]ebplan[-_] -m reg"
    yield "    http-request set-var(txn.path) path"
    yield (
        "    http-request set-var(txn.class) "
        f"path,map_beg({config.map_path('paths')},{config.default_class})"
    )
    yield "    http-request set-var(txn.key) req.hdr(authorization),sha2(256),hex,lower"
    yield (
        f"    http-request set-var(txn.class) var(txn.key),map_str({config.map_path('keys')}) "
        f"if {{ var(txn.key),map_str({config.map_path('keys')}) -m found }}"
    )
    for prefix in sorted((p for c in config.classes.values() for p in c.paths), key=len)[::-1]:
        yield (
            rf"    http-request replace-path ^{prefix}(/.*)$ \1 "
            f"if {{ var(txn.path) -m beg {prefix}/ }}"
        )
    yield "    http-request deny deny_status 404 unless { path_beg /v1/ } !{ path_sub .. }"
    yield "    http-request set-header X-Ebplan-Class %[var(txn.class)]"
    yield (
        "    http-request set-priority-class "
        f"var(txn.class),map_str_int({config.map_path('priority')},0)"
    )
    yield "    # whether a plan is followed: its lease ends ahead, and no further than one may"
    lease = config.map_path("lease")
    yield f"    http-request set-var(txn.until) str(until_ms),map_str_int({lease},0)"
    yield "    http-request set-var(txn.left) date(0,ms),neg,add(txn.until)"
    yield f"    acl leased var(txn.left) -m int 1:{longest_ms}"
    yield "    http-request set-var(txn.leased) bool(true) if leased"
    yield f"    http-request set-var(txn.slot) rand({SLOTS})"
    yield from _admission(config)
    yield "    # which precision"
    yield (
        "    http-request set-var(txn.share) "
        f"var(txn.class),map_str_int({config.map_path('lower')},0)"
    )
    yield f"    acl lowered rand({SLOTS}),sub(txn.share) lt 0"
    for name, pool in config.pools.items():
        mine = [c for c, served in config.classes.items() if served.pool == name]
        if not mine:
            continue
        of_pool = f"{{ var(txn.class) -m str {' '.join(mine)} }}"
        if pool.lower:
            alive = f"{{ nbsrv(lower_{name}) gt 0 }}"
            yield f"    use_backend lower_{name} if {of_pool} leased lowered {alive}"
        yield f"    use_backend own_{name} if {of_pool}"


def _admission(config: RouterConfig) -> Iterator[str]:
    protected = [name for name, served in config.classes.items() if served.protected]
    yield f"    # how much is let in: the map holds requests per {WINDOW_S} s, -1 for no limit"
    yield (
        "    http-request set-var(txn.limit) "
        f"var(txn.class),map_str_int({config.map_path('admit')},-1)"
    )
    yield (
        f"    http-request set-var(txn.burst) var(txn.limit),add({WINDOW_S - 1}),div({WINDOW_S})"
    )
    yield "    acl limited var(txn.limit) -m int ge 0"
    if protected:
        yield f"    acl protected var(txn.class) -m str {' '.join(protected)}"
    else:
        yield "    acl protected always_false"
    yield f"    http-request track-sc0 var(txn.class) table {ADMITTED}"
    yield "    acl over sc0_gpc0_rate,sub(txn.burst) ge 0"
    yield "    acl over sc0_gpc1_rate,sub(txn.limit) ge 0"
    yield (
        f"    http-request deny deny_status 429 hdr Retry-After {config.retry_after_s} "
        "if leased limited !protected over"
    )
    yield "    http-request sc-inc-gpc0(0) if leased limited !protected"
    yield "    http-request sc-inc-gpc1(0) if leased limited !protected"


def _table() -> Iterator[str]:
    yield f"backend {ADMITTED}"
    yield (
        "    stick-table type string len 64 size 10k expire 10m "
        f"store gpc0,gpc0_rate(1s),gpc1,gpc1_rate({WINDOW_S}s),http_req_cnt"
    )


def _own(name: str, pool: ServedPool) -> Iterator[str]:
    yield f"backend own_{name}"
    yield "    balance random(2)"
    yield "    http-request set-header X-Ebplan-Precision own"
    yield from _check(pool)
    yield from _static_choice(pool.servers)
    for server, settings in pool.servers.items():
        yield _server(server, settings)


def _lower(name: str, pool: ServedPool) -> Iterator[str]:
    yield f"backend lower_{name}"
    yield "    balance random(2)"
    yield "    http-request set-header X-Ebplan-Precision lower"
    yield from _check(pool)
    for server, settings in pool.lower.items():
        yield _server(server, settings)


def _check(pool: ServedPool) -> Iterator[str]:
    if pool.can_sleep:
        yield "    option httpchk GET /is_sleeping"
        yield "    http-check expect string false"
    else:
        yield "    option httpchk GET /health"
        yield "    http-check expect status 200"


def _static_choice(servers: dict[str, Server]) -> Iterator[str]:
    """Choose by static weights; a rule whose server is down is passed over for the next."""
    safe = {name: _safe_weight(server) for name, server in servers.items()}
    total = sum(safe.values())
    upto = 0.0
    for name, weight in safe.items():
        if weight:
            upto += weight
            slot = round(SLOTS * upto / total)
            yield (
                f"    use-server {name} unless {{ var(txn.leased) -m bool }} "
                f"or {{ var(txn.slot) -m int ge {slot} }}"
            )
    for name in (*(n for n, w in safe.items() if w), *(n for n, w in safe.items() if not w)):
        yield f"    use-server {name} unless {{ var(txn.leased) -m bool }}"


def _server(name: str, server: Server) -> str:
    limit = "" if server.max_in_flight is None else f" maxconn {server.max_in_flight}"
    return (
        f"    server {name} {server.address} weight {FULL_WEIGHT} "
        f"check inter 200ms fall 2 rise 1{limit}"
    )


def _safe_weight(server: Server) -> int:
    return round(server.safe_weight * FULL_WEIGHT)
