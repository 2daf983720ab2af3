"""Engines and agents that tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from serving_rigs import Agent, Strange, made

from ebplan.adapters.serving.vllm import VllmServing


@pytest.fixture
async def leased_agent() -> AsyncIterator[Agent]:
    agent = Agent()
    await agent.renew(30.0)
    yield agent
    await agent.stop()


@pytest.fixture
async def strange() -> AsyncIterator[Strange]:
    async with Strange() as engine:
        yield engine


@pytest.fixture
async def device(strange: Strange, leased_agent: Agent) -> AsyncIterator[VllmServing]:
    device = made(strange.url, leased_agent)
    yield device
    await device.close()
