"""One engine: how fast it is, what its cache holds, what becomes of requests that do not fit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ebplan.models import library
from ebplan.models.fleet import HardRoof
from ebplan.twin.requests import EngineModel, Sizes
from ebplan.twin.requests.engine import Engine, Pace, Request
from ebplan.twin.requests.kv_cache import Hold, KvCache
from ebplan.twin.requests.law import EngineLaw, engine_law, implied_sizes

SLOTS = 8
LAW = EngineLaw(step_s=0.02, prompt_tokens_per_s=5_000.0, context_s_per_token=0.0, slots=SLOTS)
FULL = Pace((1.0,) * (SLOTS + 1), (0.0,) + (0.7,) * SLOTS)


def engine(blocks: int = 10_000, pace: Pace = FULL, *, keep: bool = True) -> Engine:
    return Engine(LAW, KvCache(blocks, 16, keep=keep), pace, spare=1)


def request(prompt: float = 50.0, output: float = 100.0, prefix: int | None = None) -> Request:
    key = None if prefix is None else ("chat", prefix)
    return Request("chat", prompt, output, 0.0, key, 0.0 if prefix is None else prompt)


def run(one: Engine, until_s: float = math.inf) -> list[tuple[float, Request]]:
    """Let an engine run; return answers and when they came."""
    answers = []
    while one.next_s <= until_s and one.next_s < math.inf:
        now_s = one.next_s
        answered, aside = one.happen(now_s)
        assert not aside
        answers += [(now_s, r) for r in answered]
    return answers


def test_an_answer_takes_a_step_for_each_token() -> None:
    one = engine()
    one.admit(request(output=100.0), 1.0)
    ((at_s, _),) = run(one)
    assert at_s == pytest.approx(1.0 + 100 * 0.02)
    assert one.busy_kws == pytest.approx(0.7 * 2.0)
    assert one.cache.held == 0


def test_a_long_prompt_holds_the_others_up() -> None:
    """600 tokens at 5,000 a second: 0.12 s, of which one step of 0.02 s is for free."""
    one = engine()
    one.admit(request(output=100.0), 0.0)
    long = request(prompt=600.0, output=10.0)
    one.admit(long, 0.5)
    answers = {id(r): at_s for at_s, r in run(one)}
    assert answers[id(long)] == pytest.approx(0.5 + 0.1 + 10 * 0.02)
    assert max(answers.values()) == pytest.approx(100 * 0.02 + 0.1)


def test_the_first_token_comes_a_step_after_the_prompt() -> None:
    """600 tokens hold up for 0.1 s beyond a step; the short one beside it waits for them too."""
    one = engine()
    long, short = request(prompt=600.0, output=10.0), request(output=10.0)
    one.admit(long, 0.5)
    one.admit(short, 0.55)
    run(one)
    assert long.first_token_s == pytest.approx(0.5 + 0.1 + 0.02)
    assert short.first_token_s == pytest.approx(0.6 + 0.02)


def test_half_the_speed_doubles_what_is_left_of_the_first_token() -> None:
    one = engine()
    first = request(output=100.0)
    one.admit(first, 1.0)
    one.set_pace(Pace((0.5,) * (SLOTS + 1), FULL.busy_kw), 1.01)
    one.sync(1.2)
    assert first.first_token_s == pytest.approx(1.01 + 2 * 0.01)


def test_a_lost_engine_takes_the_first_tokens_back() -> None:
    one, other = engine(), engine()
    first = request(output=100.0)
    one.admit(first, 0.0)
    one.sync(1.0)
    assert first.first_token_s == pytest.approx(0.02)
    (again,) = one.drop(1.0)
    assert again.first_token_s is None
    other.admit(again, 3.0)
    run(other)
    assert again.first_token_s == pytest.approx(3.02)


def test_half_the_speed_takes_twice_as_long_from_then_on() -> None:
    one = engine()
    one.admit(request(output=100.0), 0.0)
    one.set_pace(Pace((0.5,) * (SLOTS + 1), FULL.busy_kw), 1.0)
    ((at_s, _),) = run(one)
    assert at_s == pytest.approx(1.0 + 2.0 * 1.0)


def test_a_stopped_engine_lets_nobody_in_and_goes_on_later() -> None:
    one = engine()
    one.admit(request(output=100.0), 0.0)
    one.set_pace(Pace((0.0,) * (SLOTS + 1), FULL.busy_kw), 1.0)
    assert one.next_s == math.inf
    assert not one.fits(request())
    one.set_pace(FULL, 5.0)
    ((at_s, _),) = run(one)
    assert at_s == pytest.approx(6.0)


def test_full_slots_let_nobody_in() -> None:
    one = engine()
    for _ in range(SLOTS):
        assert one.fits(request())
        one.admit(request(), 0.0)
    assert not one.fits(request())


def test_context_slows_the_steps() -> None:
    law = EngineLaw(0.02, 5_000.0, context_s_per_token=1e-6, slots=SLOTS)
    one = Engine(law, KvCache(10_000, 16, keep=True), FULL, spare=1)
    one.admit(request(prompt=50.0, output=100.0), 0.0)
    ((at_s, _),) = run(one)
    assert at_s == pytest.approx(100 * (0.02 + 1e-6 * (50.0 + 50.0)))


def test_what_grows_beyond_the_cache_is_put_aside_and_finishes_later() -> None:
    """Two of 96 + 320 tokens want 52 blocks and 2; 40 are there: the later one goes.

    14 blocks are taken by the prompts and the answers' ends, so 26 of 16 tokens are left to grow.
    """
    one = engine(blocks=40)
    first, last = request(96.0, 320.0), request(96.0, 320.0)
    one.admit(first, 0.0)
    one.admit(last, 0.0)
    answered, aside = one.happen(one.next_s)
    assert (answered, aside) == ([], [last])
    assert last.given_tokens == pytest.approx(26 * 16 / 2)
    assert one.preempted == 1
    assert not one.fits(last)
    ((at_s, done),) = run(one)
    assert (at_s, done) == (pytest.approx(320 * 0.02), first)
    one.admit(last, at_s)
    ((later_s, done),) = run(one)
    assert done is last
    prompt_s = (96.0 + 208.0) / 5_000.0 - 0.02
    assert later_s == pytest.approx(at_s + prompt_s + (320.0 - 208.0) * 0.02)


def test_a_prefix_that_is_kept_need_not_be_worked_on_again() -> None:
    took = []
    for keep in (True, False):
        one = engine(keep=keep)
        one.admit(request(1_600.0, 10.0, prefix=3), 0.0)
        ((first_s, _),) = run(one)
        one.admit(request(1_600.0, 10.0, prefix=3), 10.0)
        ((again_s, _),) = run(one)
        took.append((first_s, again_s - 10.0))
    (first_s, cached_s), (_, again_s) = took
    assert first_s == pytest.approx(1_600.0 / 5_000.0 - 0.02 + 0.2)
    assert again_s == pytest.approx(first_s)
    assert cached_s == pytest.approx(0.2)


def test_dropping_everything_loses_the_cache() -> None:
    one = engine()
    one.admit(request(1_600.0, 10.0, prefix=3), 0.0)
    run(one)
    assert one.cache.kept_blocks(("chat", 3)) == 100
    running = request()
    one.admit(running, 5.0)
    assert one.drop(6.0) == [running]
    assert one.cache.prefixes() == []
    assert one.cache.free == one.cache.blocks
    assert one.next_s == math.inf


class CacheMachine(RuleBasedStateMachine):
    """Whatever is taken, kept and dropped: no count falls below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = KvCache(64, 16, keep=True)
        self.holds: list[tuple[Hold, int, float]] = []

    @rule(prefix=st.integers(0, 5), tokens=st.floats(1.0, 700.0), share=st.floats(0.0, 1.0))
    def take(self, prefix: int, tokens: float, share: float) -> None:
        key = ("chat", prefix)
        needed = self.cache.needed(tokens, self.cache.found(key, share * tokens))
        if self.cache.room(key) >= needed:
            hold = self.cache.take(key, tokens, share * tokens)
            self.holds.append((hold, prefix, tokens))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), more=st.floats(0.0, 300.0))
    def answer(self, data: st.DataObject, more: float) -> None:
        place = data.draw(st.integers(0, len(self.holds) - 1))
        hold, prefix, tokens = self.holds.pop(place)
        self.cache.keep(hold, ("chat", prefix), tokens + more)

    @precondition(lambda self: self.holds)
    @rule()
    def give_back(self) -> None:
        self.cache.give_back(self.holds.pop()[0])

    @rule()
    def drop(self) -> None:
        self.cache.drop_one()

    @invariant()
    def counts_are_true(self) -> None:
        cache = self.cache
        assert min(cache.held, cache.kept, cache.free) >= 0
        assert cache.held == sum(hold.own for hold, _, _ in self.holds)
        assert cache.kept == sum(cache.kept_blocks(key) for key in cache.prefixes())
        for hold, _, _ in self.holds:  # what somebody uses is not dropped
            assert hold.key is None or cache.kept_blocks(hold.key) >= hold.shared


CacheMachine.TestCase.settings = settings(max_examples=60, deadline=None)
TestCache = CacheMachine.TestCase


# --- the law ------------------------------------------------------------------------------------

FLEETS = ("h200nvl-llama31-70b-bf16-tp2", "h100-qwen3-235b-bf16-ep8")
WORKLOADS = [(f, w) for f in FLEETS for w in library.load_fleet(f).workloads]


@pytest.mark.parametrize(("name", "workload"), WORKLOADS)
def test_the_law_gives_the_models_throughput_back(name: str, workload: str) -> None:
    """One line a workload: within 5 % of the fitted throughput over the loads its runs cover."""
    fleet = library.load_fleet(name)
    law = engine_law(fleet, EngineModel())
    sizes, model = implied_sizes(fleet, workload, law), fleet.workload(workload)
    full = fleet.concurrency_limit_per_instance
    for share in (0.4, 0.6, 0.8, 1.0):
        fitted = fleet.throughput_req_per_s(workload, share * full * fleet.instances_measured)
        each = float(fitted) / fleet.instances_measured
        if each >= model.covered_from_utilisation * model.capacity_req_per_s:
            of_law = share * full / law.in_service_s(sizes, share * full)
            assert of_law == pytest.approx(each, rel=0.05)


def test_tokens_that_are_known_come_out() -> None:
    fleet = library.load_fleet(FLEETS[0])
    law = engine_law(fleet, EngineModel())
    known = fleet.workload("medium_input").tokens_out_per_request
    assert implied_sizes(fleet, "medium_input", law).output_tokens == pytest.approx(known)
    roof = fleet.workload("medium_input").roof
    assert isinstance(roof, HardRoof)
    assert law.step_s == pytest.approx(roof.service_time_s / known)
    assert law.slots == 24


@given(output=st.floats(10.0, 500.0), prompt=st.floats(1.0, 20_000.0), more=st.floats(1.0, 2.0))
def test_more_tokens_are_never_served_faster(output: float, prompt: float, more: float) -> None:
    law = engine_law(library.load_fleet(FLEETS[0]), EngineModel())
    base = law.capacity_req_per_s(Sizes(prompt_tokens=prompt, output_tokens=output))
    longer = Sizes(prompt_tokens=more * prompt, output_tokens=output)
    assert law.capacity_req_per_s(longer) <= base
    longer = Sizes(prompt_tokens=prompt, output_tokens=more * output)
    assert law.capacity_req_per_s(longer) <= base
