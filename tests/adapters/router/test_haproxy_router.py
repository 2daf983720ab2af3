"""What a real HAProxy is told, answers, keeps and forgets."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest
from haproxy_cases import MARKS, Site, site, until

from ebplan.adapters import Router
from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unreachable
from ebplan.adapters.roles import RouterReading
from ebplan.adapters.router.runtime_commands import set_weight
from ebplan.adapters.router.runtime_socket import RuntimeSocket

pytestmark = MARKS


@pytest.fixture
async def there(tmp_path_factory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("h")) as it:
        yield it


async def reading(there: Site) -> RouterReading:
    read = await there.router().read()
    assert isinstance(read, RouterReading)
    return read


async def test_it_is_a_router(there: Site) -> None:
    assert isinstance(there.router(), Router)


async def test_everything_told_is_read_back(there: Site) -> None:
    router = there.router()
    assert await router.renew(5.0) == Applied(
        device="bench", command="renew", asked=5.0, confirmed=5.0
    )
    routed = await router.route({"a": 0.0, "b": 0.333})
    assert {s: answer.confirmed for s, answer in routed.items()} == {"a": 0.0, "b": 0.33}
    assert (await router.lower({"batch": 0.25}))["batch"].confirmed == 0.25
    assert (await router.admit({"batch": 0.3}))["batch"].confirmed == 0.3
    now = await router.read()
    assert now.leased
    assert (now.servers["a"].state, now.servers["b"].weight) == ("drained", 0.33)
    assert now.lower_share == {"interactive": 0.0, "batch": 0.25}
    assert now.admitted_per_s == {"interactive": None, "batch": 0.3}


async def test_undrain_gives_the_full_share_again(there: Site) -> None:
    router = there.router()
    await router.route({"a": 0.0})
    await router.route({"a": 1.0})
    assert (await reading(there)).servers["a"].state == "up"


async def test_only_zero_drains(there: Site) -> None:
    """Half a per cent is not rounded to none."""
    answer = (await there.router().route({"a": 0.001}))["a"]
    assert answer.confirmed == 0.01


@pytest.mark.parametrize(("share", "confirmed"), [(1.5, 1.0), (-0.5, 0.0)])
async def test_weights_are_clamped_and_that_is_said(
    there: Site, share: float, confirmed: float
) -> None:
    answer = (await there.router().route({"a": share}))["a"]
    assert isinstance(answer, AppliedInPart)
    assert answer.confirmed == confirmed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_what_is_no_number_is_refused(there: Site, value: float) -> None:
    router = there.router()
    for told in (
        router.route({"a": value}),
        router.lower({"batch": value}),
        router.admit({"batch": value}),
    ):
        assert [type(a) for a in (await told).values()] == [Refused]
    assert isinstance(await router.renew(value), Refused)
    assert (await reading(there)).servers["a"].weight == 1.0


@pytest.mark.parametrize("name", ["zz", "a;disable frontend clients", "a\nshow info", "a b", ""])
async def test_unknown_names_are_refused_with_those_known(there: Site, name: str) -> None:
    router = there.router()
    refused = (await router.route({name: 0.5}))[name]
    assert isinstance(refused, Refused)
    assert "a, b, c" in refused.why
    for told in (await router.lower({name: 0.5}), await router.admit({name: 1.0})):
        assert isinstance(told[name], Refused)
        assert "batch, interactive" in told[name].why


async def test_known_servers_are_told_beside_unknown_ones(there: Site) -> None:
    answers = await there.router().route({"zz": 1.0, "a": 0.5})
    assert isinstance(answers["zz"], Refused)
    assert isinstance(answers["a"], Applied)


async def test_protected_classes_are_never_limited(there: Site) -> None:
    answers = await there.router().admit({"interactive": 5.0, "batch": -1.0})
    assert all(isinstance(a, Refused) for a in answers.values())
    lifted = await there.router().admit({"interactive": None})
    assert isinstance(lifted["interactive"], Applied)


async def test_the_last_server_of_protected_requests_stays(there: Site) -> None:
    router = there.router()
    both = await router.route({"a": 0.0, "b": 0.0})
    assert all(isinstance(a, Refused) for a in both.values())
    assert isinstance((await router.route({"a": 0.0}))["a"], Applied)
    assert isinstance((await router.route({"b": 0.0}))["b"], Refused)
    swapped = await router.route({"a": 1.0, "b": 0.0})
    assert all(isinstance(a, Applied) for a in swapped.values())


async def test_a_server_that_is_down_does_not_count_as_the_last(there: Site) -> None:
    there.engines["b"].level = 1

    async def left() -> bool:
        return (await reading(there)).servers["b"].state == "down"

    assert await until(left) < 1.0
    assert isinstance((await there.router().route({"a": 0.0}))["a"], Refused)


async def test_a_lease_longer_than_any_is_granted_in_part(there: Site) -> None:
    answer = await there.router().renew(3600.0)
    assert isinstance(answer, AppliedInPart)
    assert answer.confirmed == 60.0
    assert (await reading(there)).leased


async def test_a_lease_ends_by_itself(there: Site) -> None:
    await there.router().renew(0.3)
    assert (await reading(there)).leased
    await asyncio.sleep(0.35)
    assert not (await reading(there)).leased


async def test_a_lease_too_far_ahead_is_none(there: Site) -> None:
    """The clock was set back by an hour after the lease was taken: nobody follows it."""
    router = there.router(unix_s=lambda: time.time() + 3600.0)
    await router.renew(10.0)
    await router.route({"a": 0.0})
    assert not (await reading(there)).leased
    before = there.counts()
    for _ in range(20):
        assert await there.ask() == 200
    assert (there.counts() - before)["a"] > 0


async def test_release_ends_the_lease_and_leaves_nothing_behind(there: Site) -> None:
    router = there.router()
    await router.renew(30.0)
    await router.route({"a": 0.0})
    await router.admit({"batch": 0.0})
    await router.lower({"batch": 1.0})
    assert isinstance(await router.release(), Applied)
    now = await reading(there)
    assert not now.leased
    assert {s.weight for s in now.servers.values()} == {1.0}
    assert now.admitted_per_s["batch"] is None
    assert now.lower_share["batch"] == 0.0


async def test_a_restart_is_noticed_and_everything_told_again(there: Site) -> None:
    router = there.router()
    await router.renew(30.0)
    await router.route({"a": 0.0, "b": 0.5})
    await router.admit({"batch": 4.0})
    await router.lower({"batch": 0.5})
    await there.bench.restart()
    lost = await reading(there)
    assert not lost.leased
    assert lost.servers["a"].weight == 1.0
    assert isinstance(await router.renew(30.0), Applied)
    assert router.restarts == 1
    now = await reading(there)
    assert now.leased
    assert (now.servers["a"].weight, now.servers["b"].weight) == (0.0, 0.5)
    assert now.admitted_per_s["batch"] == 4.0
    assert now.lower_share["batch"] == 0.5


async def test_what_an_earlier_controller_left_never_comes_back_to_life(there: Site) -> None:
    earlier = there.router()
    await earlier.renew(0.2)
    await earlier.route({"a": 0.0})
    await earlier.admit({"batch": 0.0})
    await asyncio.sleep(0.25)
    assert isinstance(await there.router().renew(30.0), Applied)
    now = await reading(there)
    assert now.leased
    assert now.servers["a"].weight == 1.0
    assert now.admitted_per_s["batch"] is None


async def test_another_configuration_is_another_router(there: Site) -> None:
    other = there.bench.config.model_copy(update={"retry_after_s": 9})
    router = type(there.router())(other)
    assert isinstance(await router.read(), Unreachable)
    answer = await router.renew(5.0)
    assert isinstance(answer, Unreachable)
    assert not answer.executed
    assert "it runs" in answer.why
    assert not (await reading(there)).leased


async def test_another_router_at_the_socket_is_told_nothing(there: Site) -> None:
    other = there.bench.config.model_copy(update={"name": "other"})
    answers = await type(there.router())(other).route({"a": 0.0})
    assert isinstance(answers["a"], Unreachable)
    assert (await reading(there)).servers["a"].weight == 1.0


async def test_a_hang_is_answered_in_time_and_forgotten_after(there: Site) -> None:
    router = there.router(timeout_s=0.1)
    await router.renew(30.0)
    there.bench.hang()
    started_s = time.monotonic()
    answers = await asyncio.gather(
        router.renew(30.0), router.read(), router.route({"a": 0.5, "b": 0.5, "c": 0.5})
    )
    assert time.monotonic() - started_s < 0.5
    assert isinstance(answers[0], Unreachable)
    assert isinstance(answers[1], Unreachable)
    assert all(isinstance(a, Unreachable) for a in answers[2].values())
    there.bench.go_on()
    assert isinstance(await router.renew(30.0), Applied)


async def test_calls_at_once_do_not_mix(there: Site) -> None:
    router = there.router()
    await router.renew(30.0)
    shares = [0.1, 0.9, 0.4, 0.7]
    answers = await asyncio.gather(
        *(router.route({"a": s}) for s in shares), *(router.read() for _ in range(8))
    )
    assert [a["a"].confirmed for a in answers[:4]] == shares


async def test_a_weight_changed_by_hand_is_read(there: Site) -> None:
    await RuntimeSocket(there.bench.config.socket).change(set_weight("own_chat", "a", 7))
    assert (await reading(there)).servers["a"].weight == 0.07
