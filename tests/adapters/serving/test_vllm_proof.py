"""What an engine is believed: nothing is applied without proof, and nothing is told twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from serving_rigs import PROMPT, Agent, ask, post

from ebplan.adapters import Applied, Refused, Unreachable, Unverified
from ebplan.adapters.answers import Answer
from ebplan.adapters.health import BackOff
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.vllm_double import VllmDouble

KEY = Secret("a-key-of-our-own")
AT_ONCE = BackOff(first_s=0.0)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    await agent.renew(30.0)
    yield agent
    await agent.stop()


def made(url: str, agent: Agent | None, timeout_s: float = 0.3) -> VllmServing:
    device = VllmServing(
        "llama-0", url, guardian=agent, api_key=KEY, timeout_s=timeout_s, policy=AT_ONCE
    )
    device.turn_s = 0.4
    return device


# --- an engine that answers what one wants --------------------------------------------------------


class Strange(VllmDouble):
    """An engine that answers some paths as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, web.Response] = {}
        self.after: dict[str, list[str]] = {}

    @web.middleware
    async def _count(self, request: web.Request, handler: object) -> web.StreamResponse:
        if request.path in self.answers:
            self.calls[request.path] += 1
            told = self.answers[request.path]
            return web.Response(status=told.status, body=told.body, headers=told.headers)
        return await super()._count(request, handler)


@pytest.fixture
async def strange() -> AsyncIterator[Strange]:
    async with Strange() as engine:
        yield engine


@pytest.fixture
async def device(strange: Strange, agent: Agent) -> AsyncIterator[VllmServing]:
    device = made(strange.url, agent)
    yield device
    await device.close()


# --- wake -----------------------------------------------------------------------------------------


async def test_an_engine_without_weights_is_not_woken(
    strange: Strange, device: VllmServing
) -> None:
    """Somebody has put it to level 2: it would write garbage, and nobody would notice."""
    await post(f"{strange.url}/sleep?level=2&mode=wait")
    for answer in (await device.wake(), await device.sleep(), await device.release()):
        assert isinstance(answer, Refused)
        assert "garbage" in answer.why
    assert strange.asleep
    assert strange.calls["/wake_up"] == 0


@pytest.mark.parametrize(
    "completion",
    [
        web.json_response({}),
        web.json_response([1]),
        web.Response(text="[" * 100_000),
        web.json_response({"choices": [{"text": "", "finish_reason": "abort"}], "usage": {}}),
        web.json_response(
            {"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 0}}
        ),
        web.Response(status=500),
        web.Response(status=404),
    ],
    ids=["empty", "list", "deep", "cut", "no-token", "500", "404"],
)
async def test_a_wake_needs_a_token(
    completion: web.Response, strange: Strange, device: VllmServing
) -> None:
    await device.sleep()
    strange.answers["/v1/completions"] = completion
    answer = await device.wake()
    assert isinstance(answer, Unverified)
    assert not strange.asleep


async def test_a_wake_that_is_followed_by_silence(strange: Strange, device: VllmServing) -> None:
    """A paused engine says that it is awake, is healthy, and lets requests hang."""
    strange.pause()
    began_s = time.monotonic()
    answer = await device.wake()
    assert isinstance(answer, Unverified)
    assert "no answer in time" in answer.why
    assert time.monotonic() - began_s < 1.0
    strange.resume()
    assert isinstance(await device.wake(), Applied)


async def test_a_page_that_is_none_keeps_no_engine_asleep(
    strange: Strange, device: VllmServing
) -> None:
    await device.sleep()
    strange.answers["/metrics"] = web.Response(text="another_exporter 1.0\n")
    assert isinstance(await device.read(), Unreachable)
    assert isinstance(await device.wake(), Applied)
    answer = await device.sleep()
    assert isinstance(answer, Unreachable)
    assert not answer.executed


async def test_another_model_after_a_restart(agent: Agent) -> None:
    async with Strange() as engine:
        device = made(engine.url, agent)
        assert isinstance(await device.wake(), Applied)
        engine.answers["/v1/models"] = web.json_response({"data": [{"id": "other"}]})
        answer = await device.wake()
        assert isinstance(answer, Unverified)
        del engine.answers["/v1/models"]
        assert isinstance(await device.wake(), Applied)
        await device.close()


# --- sleep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Refused), (400, Refused), (500, Unverified), (302, Unverified)]
)
async def test_what_an_engine_says_to_a_command(
    status: int, kind: type[Answer], strange: Strange, device: VllmServing
) -> None:
    strange.answers["/sleep"] = web.Response(
        status=status, headers={"Location": f"{strange.url}/wake_up"}
    )
    assert isinstance(await device.sleep(), kind)
    assert strange.calls["/sleep"] == 1
    assert strange.calls["/wake_up"] == 0


async def test_an_engine_that_says_yes_and_stays_awake(
    strange: Strange, device: VllmServing
) -> None:
    strange.answers["/sleep"] = web.Response()
    began_s = time.monotonic()
    answer = await device.sleep()
    assert isinstance(answer, Unverified)
    assert "still awake" in answer.why
    assert time.monotonic() - began_s < 1.0


async def test_an_engine_that_sleeps_is_watched_and_not_told_again(
    strange: Strange, device: VllmServing, agent: Agent
) -> None:
    await post(f"{strange.url}/sleep?level=1&mode=wait")
    assert isinstance(await device.sleep(), Applied)
    assert strange.calls["/sleep"] == 1
    assert agent.watched == {"llama-0": strange.url}


async def test_requests_that_come_while_the_agent_is_asked(strange: Strange, agent: Agent) -> None:
    class Slow(Agent):
        async def watch(self, name: str, url: str) -> Answer:
            requests.append(asyncio.create_task(ask(strange, max_tokens=100)))
            await asyncio.sleep(0.05)
            return await agent.watch(name, url)

    requests: list[asyncio.Task[object]] = []
    device = made(strange.url, Slow())
    assert isinstance(await device.sleep(), Refused)
    await asyncio.gather(*requests)
    assert strange.calls["/sleep"] == 0
    await device.close()


async def test_a_lease_that_ends_while_the_engine_falls_asleep(agent: Agent) -> None:
    """The agent has woken an engine that was still awake, and would never do so again."""

    class Forgets(Agent):
        async def watch(self, name: str, url: str) -> Answer:
            self.refuses = engine.asleep
            self._lapse = agent._lapse
            return await super().watch(name, url)

    async with VllmDouble() as engine:
        device = made(engine.url, Forgets())
        answer = await device.sleep()
        assert isinstance(answer, Unverified)
        assert "nobody watches it" in answer.why
        assert not engine.asleep
        await device.close()


# --- warm -----------------------------------------------------------------------------------------


async def test_a_cold_prompt_takes_longer_than_a_warm_one(agent: Agent) -> None:
    async with VllmDouble(prompt_token_s=0.002) as engine:
        device = made(engine.url, agent)
        took_s = []
        for _ in range(2):
            began_s = time.monotonic()
            await ask(engine, max_tokens=1)
            took_s.append(time.monotonic() - began_s)
        assert took_s[1] < took_s[0] - 0.05
        assert isinstance(await device.warm([PROMPT]), Applied)
        await device.close()


async def test_an_engine_without_a_cache(strange: Strange, device: VllmServing) -> None:
    strange._read_prompt = lambda prompt: 0  # type: ignore[method-assign]
    answer = await device.warm([PROMPT])
    assert isinstance(answer, Unverified)
    assert answer.read_back == 0.0
    assert isinstance(await device.warm([]), Applied)


async def test_hits_that_show_late_on_the_page(strange: Strange, device: VllmServing) -> None:
    pages = [strange.page()]

    def late() -> str:
        pages.append(VllmDouble.page(strange))
        return pages.pop(0) if len(pages) > 2 else pages[0]

    strange.page = late  # type: ignore[method-assign]
    assert isinstance(await device.warm([PROMPT]), Applied)


async def test_a_prompt_that_cannot_be_read_is_refused(
    strange: Strange, device: VllmServing
) -> None:
    strange.answers["/v1/completions"] = web.Response(status=400)
    assert isinstance(await device.warm([PROMPT]), Refused)
    strange.answers["/v1/completions"] = web.Response(status=503)
    assert isinstance(await device.warm([PROMPT]), Unverified)


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("path", ["/metrics", "/is_sleeping", "/v1/models", "/v1/completions"])
async def test_an_engine_that_writes_the_key_back(
    path: str,
    status: int,
    strange: Strange,
    device: VllmServing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    strange.answers[path] = web.Response(
        status=status, text=f"Bearer {KEY.reveal()}", reason=KEY.reveal()
    )
    answers = [await device.read(), await device.sleep(), await device.wake()]
    answers.append(await device.warm([PROMPT]))
    said = f"{answers}{[str(a) for a in answers]}{vars(device)}{caplog.text}"
    assert KEY.reveal() not in said


# --- lines that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer_lost", "executed"), [(Fault.SILENT, True), (Fault.PARTIAL, True)])
@pytest.mark.parametrize("command", ["sleep", "wake"])
async def test_a_command_whose_answer_is_lost_is_told_once(
    answer_lost: Fault, executed: bool, command: str, agent: Agent
) -> None:
    async with (
        VllmDouble(sleep_s=0.2, wake_s=0.2) as engine,
        FaultProxy(("127.0.0.1", engine.port)) as line,
    ):
        device = made(f"http://127.0.0.1:{line.port}", agent)
        if command == "wake":
            await device.sleep()
        path = "/wake_up" if command == "wake" else "/sleep"
        told = asyncio.create_task(getattr(device, command)())
        while not engine.calls[path]:
            await asyncio.sleep(0.005)
        await line.turn(answer_lost)
        answer = await told
        assert isinstance(answer, Unreachable), answer
        assert answer.executed is executed
        assert engine.calls[path] == 1
        await device.close()


async def test_an_engine_that_goes_after_it_was_told(agent: Agent) -> None:
    """What was told may have been done, though the line was down when it was to be read back."""
    async with VllmDouble(sleep_s=0.1) as engine, FaultProxy(("127.0.0.1", engine.port)) as line:
        device = made(f"http://127.0.0.1:{line.port}", agent)
        told = asyncio.create_task(device.sleep())
        while not engine.calls["/sleep"]:
            await asyncio.sleep(0.005)
        await line.turn(Fault.REFUSE)
        answer = await told
        assert isinstance(answer, Unreachable)
        assert answer.executed
        await device.close()


@pytest.mark.parametrize("fault", [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)])
@pytest.mark.parametrize("command", ["read", "sleep", "wake", "warm", "release"])
async def test_a_bad_line_is_answered_in_time(fault: Fault, command: str, agent: Agent) -> None:
    async with VllmDouble() as engine:
        proxy = FaultProxy(("127.0.0.1", engine.port), slow_s=1.0)
        async with proxy as line:
            device = made(f"http://127.0.0.1:{line.port}", agent, timeout_s=0.1)
            asked = [[PROMPT]] if command == "warm" else []
            await line.turn(fault)
            for _ in range(3):
                began_s = time.monotonic()
                answer = await getattr(device, command)(*asked)
                assert time.monotonic() - began_s < 0.3
                assert isinstance(answer, Unreachable), answer
                assert not answer.executed  # it was only asked how it is
            assert line.open_connections <= 3
            assert engine.calls["/sleep"] + engine.calls["/wake_up"] == 0
            await line.restart(0.02)
            assert isinstance(await device.wake(), Applied)
            assert isinstance(await device.warm([PROMPT]), Applied)
            await device.close()
        assert line.open_connections == 0
