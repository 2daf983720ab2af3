"""What requests meet: a real HAProxy under load, with engines that stream behind it."""

import asyncio
import contextlib
import time
from collections import Counter

import pytest
from haproxy_cases import BATCH_KEY, CLASSES, MARKS, Site, site, until
from yarl import URL

from ebplan.adapters.router.config import ServedPool, Server
from ebplan.twin.wire.haproxy_bench import HaproxyBench
from ebplan.twin.wire.vllm_double import EngineSettings

pytestmark = MARKS
BATCH = {"Authorization": BATCH_KEY}


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("h")


async def answered(there: Site, count: int, **request) -> Counter[int]:
    return Counter(await asyncio.gather(*(there.ask(**request) for _ in range(count))))


async def test_draining_loses_no_stream(folder) -> None:
    slow = EngineSettings(at_once=100, token_s=0.005)
    async with site(folder, engine=slow) as there:
        router = there.router()
        await router.renew(30.0)
        streams = [asyncio.create_task(there.stream(120)) for _ in range(30)]
        await asyncio.sleep(0.2)
        held = (await router.read()).servers["a"].in_flight
        assert held > 0
        await router.route({"a": 0.0})
        before = there.counts()
        assert await answered(there, 20) == {200: 20}
        assert (there.counts() - before) == {"b": 20}
        # ``read`` tells when the engine may sleep
        assert (await router.read()).servers["a"].in_flight == held
        assert await asyncio.gather(*streams) == [120] * 30

        async def empty() -> bool:
            return (await router.read()).servers["a"].in_flight == 0

        await until(empty)


async def test_weights_share_the_traffic(folder) -> None:
    async with site(folder, engine=EngineSettings(first_token_s=0.0)) as there:
        router = there.router()
        await router.renew(30.0)
        await router.route({"a": 0.1})
        for _ in range(20):
            assert await answered(there, 10) == {200: 10}
        # two servers are drawn by weight and the less loaded one is taken
        assert 0 < there.counts()["a"] < 60


async def test_without_a_lease_live_weights_do_not_count(folder) -> None:
    async with site(folder) as there:
        router = there.router()
        await router.route({"a": 0.0})
        await router.lower({"batch": 1.0})
        await router.admit({"batch": 0.0})
        assert await answered(there, 60, headers=BATCH) == {200: 60}
        counts = there.counts()
        assert counts["c"] == 0
        assert 10 < counts["a"] < 50


async def test_static_choice_passes_over_a_server_that_is_down(folder) -> None:
    async with site(folder) as there:
        there.engines["a"].level = 1

        async def left() -> bool:
            return (await there.router().read()).servers["a"].state == "down"

        await until(left)
        assert await answered(there, 20) == {200: 20}
        assert +there.counts() == {"b": 20}


async def test_the_lease_lapses_under_load_and_nobody_notices(folder) -> None:
    async with site(folder, engine=EngineSettings(at_once=50)) as there:
        router = there.router()
        await router.renew(0.5)
        await router.route({"a": 0.0})
        statuses: Counter[int] = Counter()
        ends_s = time.monotonic() + 1.2

        async def client() -> None:
            while time.monotonic() < ends_s:
                statuses[await there.ask(tokens=5)] += 1

        await asyncio.gather(*(client() for _ in range(6)))
        assert set(statuses) == {200}
        assert there.counts()["a"] > 10


async def test_the_admitted_rate_is_held_with_connections_kept_open(folder) -> None:
    """Asked 10 times as often, a class still gets its rate: what is turned away is not counted."""
    async with site(folder, engine=EngineSettings(first_token_s=0.0)) as there:
        router = there.router()
        await router.renew(30.0)
        await answered(there, 20, headers=BATCH)
        await router.admit({"batch": 20.0})
        statuses: Counter[int] = Counter()
        started_s = time.monotonic()

        async def client() -> None:
            while time.monotonic() - started_s < 3.0:
                statuses[await there.ask(headers=BATCH)] += 1
                await asyncio.sleep(0.02)

        protected: Counter[int] = Counter()

        async def protected_client() -> None:
            while time.monotonic() - started_s < 3.0:
                protected[await there.ask()] += 1
                await asyncio.sleep(0.02)

        await asyncio.gather(*(client() for _ in range(6)), protected_client())
        assert set(statuses) == {200, 429}
        assert statuses[429] > 3 * statuses[200]
        assert 0.85 * 60 <= statuses[200] <= 60 + 20
        assert set(protected) == {200}


async def test_a_small_rate_is_held_and_sent_again_changes_nothing(folder) -> None:
    async with site(folder) as there:
        router = there.router()
        await router.renew(30.0)
        statuses: Counter[int] = Counter()
        for _ in range(25):
            await router.admit({"batch": 0.2})
            statuses[await there.ask(headers=BATCH)] += 1
            await asyncio.sleep(0.1)
        assert statuses[200] == 2
        await router.admit({"batch": None})
        assert await answered(there, 10, headers=BATCH) == {200: 10}


async def test_who_is_turned_away_is_told_when_to_come_again(folder) -> None:
    async with site(folder) as there:
        router = there.router()
        await router.renew(30.0)
        await router.admit({"batch": 0.0})
        url = there.bench.url + "/batch/v1/completions"
        async with there.http.post(url, json={"prompt": "a"}) as reply:
            assert reply.status == 429
            assert reply.headers["Retry-After"] == "2"


async def test_clients_do_not_choose_their_class(folder) -> None:
    async with site(folder) as there:
        forged = {"X-Ebplan-Class": "interactive", "X_Ebplan_Class": "interactive"}
        await there.ask(headers=BATCH | forged | {"X-Ebplan-Precision": "lower"})
        await there.ask("/batch/v1/completions", headers=forged)
        await there.ask(headers=forged | {"Authorization": "Bearer nobody"})
        seen = [h for engine in there.engines.values() for h in engine.headers]
        told = sorted(v for h in seen for k, v in h.items() if "class" in k.lower())
        assert told == ["batch", "batch", "interactive"]
        precisions = [v for h in seen for k, v in h.items() if "precision" in k.lower()]
        assert precisions == ["own"] * 3


@pytest.mark.parametrize(
    "path", ["/sleep?level=2", "/wake_up", "/batch/sleep", "/batch/v1/../sleep", "/collective_rpc"]
)
async def test_clients_do_not_reach_the_control_paths(folder, path: str) -> None:
    async with site(folder) as there:
        url = URL(there.bench.url + path, encoded=True)
        async with there.http.post(url) as reply:
            assert reply.status == 404
        assert not any(engine.posts for engine in there.engines.values())


async def test_a_share_goes_to_the_lower_precision(folder) -> None:
    async with site(folder, engine=EngineSettings(at_once=100)) as there:
        router = there.router()
        await router.renew(30.0)
        await router.lower({"batch": 0.5})
        await answered(there, 100, headers=BATCH)
        assert 30 < there.counts()["c"] < 70
        await router.lower({"batch": 1.0})
        before = there.counts()
        await answered(there, 20, headers=BATCH)
        await answered(there, 5)
        assert (there.counts() - before)["c"] == 20


@pytest.mark.parametrize("how", ["asleep", "drained"])
async def test_without_a_lower_server_requests_stay_with_their_own(folder, how: str) -> None:
    async with site(folder) as there:
        router = there.router()
        await router.renew(30.0)
        await router.lower({"batch": 1.0})
        if how == "asleep":
            there.engines["c"].level = 1

            async def left() -> bool:
                return (await router.read()).servers["c"].state == "down"

            await until(left)
        else:
            await router.route({"c": 0.0})
        assert await answered(there, 20, headers=BATCH) == {200: 20}
        assert there.counts()["c"] == 0


async def test_a_sleeping_engine_leaves_the_pool_and_comes_back(folder) -> None:
    async with site(folder) as there:
        engine = there.engines["a"]
        async with there.http.post(f"{engine.url}/sleep?level=1&mode=wait") as reply:
            assert reply.status == 200

        async def state(wanted: str) -> bool:
            return (await there.router().read()).servers["a"].state == wanted

        assert await until(lambda: state("down")) < 1.0
        assert await answered(there, 20) == {200: 20}
        async with there.http.post(f"{engine.url}/wake_up") as reply:
            assert reply.status == 200
        assert await until(lambda: state("up")) < 1.0


async def test_the_queue_serves_those_first_who_come_first(folder) -> None:
    """One place per engine and 40 requests that wait: interactive ones overtake."""
    async with site(folder, engine=EngineSettings(at_once=1), max_in_flight=1) as there:
        router = there.router()
        await router.renew(30.0)
        order: list[str] = []

        async def ask(name: str, headers: dict[str, str]) -> None:
            assert await there.ask(headers=headers) == 200
            order.append(name)

        batch = [asyncio.create_task(ask("batch", BATCH)) for _ in range(20)]
        await asyncio.sleep(0.03)
        await asyncio.gather(*(ask("interactive", {}) for _ in range(20)), *batch)
        waited = order[10:30]
        assert waited.count("interactive") > 15


async def test_places_are_counted_once_while_the_lease_lapses(folder) -> None:
    """Streams begun under the plan and those begun after it share each server's places."""
    slow = EngineSettings(at_once=100, token_s=0.004)
    async with site(folder, engine=slow, max_in_flight=2) as there:
        router = there.router()
        await router.renew(0.3)
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, *(e.running + e.waiting for e in there.engines.values()))
                await asyncio.sleep(0.002)

        watching = asyncio.create_task(watch())
        streams = [asyncio.create_task(there.stream(150)) for _ in range(6)]
        await asyncio.sleep(0.4)
        assert not (await router.read()).leased
        streams += [asyncio.create_task(there.stream(20)) for _ in range(6)]
        assert await asyncio.gather(*streams) == [150] * 6 + [20] * 6
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert most == 2


async def test_a_reload_under_load_breaks_nothing_that_is_safe(folder) -> None:
    """A new process begins without a lease: static weights hold until it is told again."""
    async with site(folder) as there:
        router = there.router()
        await router.renew(30.0)
        await router.route({"a": 0.0})
        await there.bench.restart()

        async def up() -> bool:
            return await there.ask() == 200

        await until(up)
        before = there.counts()
        assert await answered(there, 30) == {200: 30}
        assert (there.counts() - before)["a"] > 0
        await router.renew(30.0)
        before = there.counts()
        assert await answered(there, 30) == {200: 30}
        assert (there.counts() - before)["a"] == 0


async def test_a_configuration_that_haproxy_refuses_is_said(folder) -> None:
    pool = ServedPool(servers={"a": Server(address="127.0.0.1:99999")})
    bench = HaproxyBench(folder, pools={"chat": pool}, classes=CLASSES, default_class="interactive")
    with pytest.raises(RuntimeError, match="haproxy ended"):
        async with bench:
            pass
