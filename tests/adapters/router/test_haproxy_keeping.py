"""What a real HAProxy is told, refuses to lose, and keeps through restarts, hangs and bad lines."""

import asyncio
import gc
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, running

from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unreachable
from ebplan.adapters.health import BackOff
from ebplan.adapters.roles import RouterReading
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.adapters.router.runtime_commands import set_weight
from ebplan.adapters.router.runtime_socket import RuntimeSocket
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.haproxy_bench import can_run

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not can_run(), reason="haproxy is not installed: make test-adapters"),
]
FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)]
AT_ONCE = BackOff(first_s=0.0, longest_s=0.0)
TIMEOUT_S = 0.15


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path) as bench:
        yield bench


async def reading(bench: Bench) -> RouterReading:
    read = await HaproxyRouter(bench.config).read()
    assert isinstance(read, RouterReading)
    return read


def through(bench: Bench, line: FaultProxy, **settings: Any) -> HaproxyRouter:
    """Return a router adapter that reaches the socket by a line that can be turned bad."""
    config = bench.config.model_copy(update={"socket": str(line.address)})
    object.__setattr__(config, "digest", bench.config.digest)
    known: dict[str, Any] = {"timeout_s": TIMEOUT_S, "policy": AT_ONCE}
    return HaproxyRouter(config, **(known | settings))


def line_to(bench: Bench, **settings: Any) -> FaultProxy:
    config = bench.config
    return FaultProxy(config.socket, listen=f"{config.directory}/line", slow_s=5.0, **settings)


async def test_only_zero_drains(bench: Bench) -> None:
    """Half a per cent is not rounded to none."""
    assert (await bench.router.route({"a": 0.001}))["a"].confirmed == 0.01


@pytest.mark.parametrize(("share", "confirmed"), [(1.5, 1.0), (-0.5, 0.0)])
async def test_weights_are_clamped_and_that_is_said(
    bench: Bench, share: float, confirmed: float
) -> None:
    answer = (await bench.router.route({"a": share}))["a"]
    assert isinstance(answer, AppliedInPart)
    assert answer.confirmed == confirmed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_what_is_no_number_is_refused(bench: Bench, value: float) -> None:
    router = bench.router
    told = (
        router.route({"a": value}),
        router.lower({"batch": value}),
        router.admit({"batch": value}),
    )
    for answers in await asyncio.gather(*told):
        assert [type(answer) for answer in answers.values()] == [Refused]
    assert isinstance(await router.renew(value), Refused)


@pytest.mark.parametrize("name", ["zz", "a;disable frontend clients", "a\nshow info", "a b", ""])
async def test_unknown_names_are_refused_with_those_known(bench: Bench, name: str) -> None:
    router = bench.router
    both = await router.route({name: 0.5, "b": 0.5})
    assert isinstance(both[name], Refused)
    assert "a, b, low" in both[name].why
    assert isinstance(both["b"], Applied)
    for told in (await router.lower({name: 0.5}), await router.admit({name: 1.0})):
        assert isinstance(told[name], Refused)


async def test_the_last_server_of_protected_requests_stays(bench: Bench) -> None:
    both = await bench.router.route({"a": 0.0, "b": 0.0})
    assert all(isinstance(answer, Refused) for answer in both.values())
    assert isinstance((await bench.router.route({"a": 0.0}))["a"], Applied)
    assert isinstance((await bench.router.route({"b": 0.0}))["b"], Refused)
    swapped = await bench.router.route({"b": 0.0, "a": 1.0})
    assert all(isinstance(answer, Applied) for answer in swapped.values())


async def test_a_server_that_is_down_does_not_count_as_the_last(bench: Bench) -> None:
    bench.engines["b"].asleep = True
    await asyncio.sleep(0.9)
    assert (await reading(bench)).servers["b"].state == "down"
    assert isinstance((await bench.router.route({"a": 0.0}))["a"], Refused)


async def test_a_lower_precision_that_a_pool_lacks_is_refused(tmp_path: Path) -> None:
    pools = {"llama": {"servers": {"a": {"address": "127.0.0.1:9"}}}}
    async with running(tmp_path, pools=pools) as bench:
        answers = await bench.router.lower({"batch": 0.5, "interactive": 0.0})
        assert isinstance(answers["batch"], Refused)
        assert isinstance(answers["interactive"], Applied)


async def test_a_small_rate_is_held_however_often_it_is_sent(bench: Bench) -> None:
    """0.2 per s is 2 in 10 s; counted anew with each call, it would be 1 per s."""
    await bench.router.renew(30.0)
    statuses = []
    for _ in range(25):
        await bench.router.admit({"batch": 0.2})
        statuses.append((await bench.ask("/batch/v1/completions"))[0])
        await asyncio.sleep(0.1)
    assert statuses.count(200) == 2
    await bench.router.admit({"batch": None})
    assert (await bench.ask("/batch/v1/completions"))[0] == 200


@pytest.mark.parametrize(("asked", "confirmed"), [(0.3, 0.3), (16.1, 16.1), (0.59, 0.5)])
async def test_a_rate_is_never_rounded_up(bench: Bench, asked: float, confirmed: float) -> None:
    assert (await bench.router.admit({"batch": asked}))["batch"].confirmed == confirmed


async def test_a_lease_longer_than_any_is_granted_in_part(bench: Bench) -> None:
    answer = await bench.router.renew(3600.0)
    assert isinstance(answer, AppliedInPart)
    assert answer.confirmed == bench.config.longest_lease_s
    assert (await reading(bench)).leased


async def test_what_is_told_before_the_first_lease_holds_in_it(bench: Bench) -> None:
    await bench.router.route({"a": 0.0})
    await bench.router.admit({"batch": 4.0})
    await bench.router.renew(30.0)
    now = await reading(bench)
    assert now.servers["a"].weight == 0.0
    assert now.admitted_per_s["batch"] == 4.0


async def test_commands_meet_a_restart_without_a_renewal(bench: Bench) -> None:
    """The new process is told everything as soon as it is told anything."""
    await bench.router.renew(30.0)
    await bench.router.route({"a": 0.25})
    await bench.haproxy.stop()
    await bench.haproxy.start()
    assert (await reading(bench)).servers["a"].weight == 1.0
    await bench.router.route({"b": 0.5})
    assert (await reading(bench)).servers["a"].weight == 0.25
    assert not (await reading(bench)).leased


async def test_renewals_and_commands_at_once(bench: Bench) -> None:
    """A renewal that meets a restart tells everything again while others add to it."""
    router = bench.router
    await router.renew(30.0)
    await router.route({"a": 0.5})
    await bench.haproxy.stop()
    await bench.haproxy.start()
    shares = [0.1, 0.9, 0.4, 0.7]
    renewed, *answers = await asyncio.gather(
        router.renew(30.0),
        *(router.route({"b": share, "low": share}) for share in shares),
        *(router.admit({"batch": 1.0 + i}) for i in range(4)),
        *(router.read() for _ in range(4)),
    )
    assert isinstance(renewed, Applied)
    assert [answer["b"].confirmed for answer in answers[:4]] == shares
    assert [answer["batch"].confirmed for answer in answers[4:8]] == [1.0, 2.0, 3.0, 4.0]


async def test_what_was_not_confirmed_is_not_told_again(bench: Bench) -> None:
    async with line_to(bench, edit=lambda data: data.replace(b",50,1,0,", b",49,1,0,")) as line:
        router = through(bench, line)
        await router.renew(30.0)
        await line.turn(Fault.EDIT)
        assert not isinstance((await router.route({"a": 0.5}))["a"], Applied)
        await line.turn(Fault.NONE)
        await bench.haproxy.stop()
        await bench.haproxy.start()
        await router.renew(30.0)
    assert (await reading(bench)).servers["a"].weight == 1.0


async def test_another_configuration_is_told_nothing(bench: Bench) -> None:
    other: RouterConfig = bench.config.model_copy(update={"retry_after_s": 9})
    router = HaproxyRouter(other)
    assert isinstance(await router.read(), Unreachable)
    assert isinstance((await router.route({"a": 0.0}))["a"], Refused)
    assert isinstance((await router.admit({"batch": 0.0}))["batch"], Refused)
    assert isinstance(await router.release(), Refused)
    assert (await reading(bench)).servers["a"].weight == 1.0


async def test_a_hang_is_answered_in_time_and_forgotten_after(bench: Bench) -> None:
    router = HaproxyRouter(bench.config, timeout_s=0.1, policy=AT_ONCE)
    await router.renew(30.0)
    assert bench.haproxy.process is not None
    bench.haproxy.process.send_signal(signal.SIGSTOP)
    for call in (
        lambda: router.renew(30.0),
        lambda: router.read(),
        lambda: router.route({"a": 0.5, "b": 0.5, "low": 0.5}),
        lambda: router.release(),
    ):
        began_s = time.monotonic()
        answer = await call()
        assert time.monotonic() - began_s < 0.3
        for each in answer.values() if isinstance(answer, dict) else [answer]:
            assert isinstance(each, Unreachable)
    bench.haproxy.process.send_signal(signal.SIGCONT)
    assert isinstance(await router.renew(30.0), Applied)


async def test_release_does_not_wait_for_a_router_that_is_left_alone(bench: Bench) -> None:
    async with line_to(bench) as line:
        router = through(bench, line, policy=BackOff(first_s=60.0, longest_s=60.0))
        await router.renew(30.0)
        await router.route({"a": 0.0})
        await line.turn(Fault.FLAPPING)
        assert isinstance(await router.renew(30.0), Unreachable)
        await line.turn(Fault.NONE)
        assert "left alone" in str(await router.renew(30.0))
        assert isinstance(await router.release(), Applied)
    now = await reading(bench)
    assert not now.leased
    assert now.servers["a"].weight == 1.0


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_call_is_answered_in_time_and_works_again(bench: Bench, fault: Fault) -> None:
    async with line_to(bench) as line:
        router = through(bench, line)
        assert isinstance(await router.renew(30.0), Applied)
        await line.turn(fault)
        for call in (
            lambda: router.read(),
            lambda: router.renew(30.0),
            lambda: router.route({"a": 0.0, "b": 0.5}),
            lambda: router.lower({"batch": 0.5}),
            lambda: router.admit({"batch": 1.0}),
            lambda: router.release(),
        ):
            began_s = time.monotonic()
            answer = await call()
            assert time.monotonic() - began_s < TIMEOUT_S + 0.2
            for each in answer.values() if isinstance(answer, dict) else [answer]:
                assert isinstance(each, Unreachable)
                assert not each.executed
        await line.turn(Fault.NONE)
        assert isinstance(await router.renew(30.0), Applied)


@pytest.mark.parametrize("lost", [b"", b"\xff\xfe\n\n", b"N"])
async def test_a_line_lost_after_the_command_may_have_been_executed(
    bench: Bench, lost: bytes
) -> None:
    answered = 0

    def spoil(data: bytes) -> bytes:
        """Spoil what comes after who it is and how its servers are."""
        nonlocal answered
        answered += 1
        return data if answered < 3 else lost

    async with line_to(bench, edit=spoil) as line:
        router = through(bench, line)
        await router.renew(30.0)
        await line.turn(Fault.EDIT)
        answers = await router.route({"a": 0.5, "b": 0.5})
        assert [answers[s].executed for s in ("a", "b")] == [True, False]
    now = await reading(bench)
    assert (now.servers["a"].weight, now.servers["b"].weight) == (0.5, 1.0)


async def test_a_bad_line_makes_nothing_grow(bench: Bench) -> None:
    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async with line_to(bench) as line:
        router = through(bench, line, timeout_s=0.02)
        await router.renew(30.0)
        tasks, files = len(asyncio.all_tasks()), held()
        for fault in FAULTS * 3:
            await line.turn(fault)
            await asyncio.gather(*(router.read() for _ in range(3)), router.renew(30.0))
        await line.turn(Fault.NONE)
        line.drop()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) <= tasks
        assert held() <= files + 2


async def test_a_weight_changed_by_hand_is_read(bench: Bench) -> None:
    await RuntimeSocket(bench.config.socket).change(set_weight("own_llama", "a", 7))
    assert (await reading(bench)).servers["a"].weight == 0.07
