"""A site told over the wire: engines by name, the converter by its own power."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ebplan import load_case
from ebplan.frequency import ResponseCurve
from ebplan.twin import RequestPlant
from ebplan.twin.live.converter import PlantConverter
from ebplan.twin.live.named_pool import NamedPool
from ebplan.twin.live.plant import LivePlant
from ebplan.twin.live.spec import TwinSpec, synthetic_loop
from ebplan.twin.requests import Poisson
from ebplan.twin.requests.engine import Request
from ebplan.twin.settings import FrequencyModel

EXAMPLE = "examples/under_frequency.json"
REST = FrequencyModel(std_hz=0.0)
TOKENS = (147.0, 62.0)


def plant_and_pool(**kw: object) -> tuple[LivePlant, NamedPool]:
    case = load_case(EXAMPLE)
    plant = LivePlant(case.site, case.state, frequency=REST, **kw)  # type: ignore[arg-type]
    return plant, plant.named_pools["llama70b"]


def send(plant: LivePlant, seconds: float, each_s: float = 0.03, to: int = 4) -> list[str]:
    """Send a request to one engine after the other; return how those ended that did."""
    pool, ends = plant.named_pools["llama70b"], list[str]()
    for n in range(round(seconds / each_s)):
        request = Request("interactive", *TOKENS, plant.now_s)
        pool.submit(n % to, request, lambda _, __, why: ends.append(why))
        plant.step((), each_s)
    return ends


def test_it_draws_what_the_request_level_plant_draws() -> None:
    case = load_case(EXAMPLE)
    plant, pool = plant_and_pool()
    send(plant, 30.0, 1.0 / 35.0)
    before_kws = plant.last.registers.grid_kwh
    start = plant.step((), 0.001).registers.grid_kwh
    send(plant, 60.0, 1.0 / 35.0)
    live_kw = (plant.step((), 0.001).registers.grid_kwh - start) * 60.0
    other = RequestPlant(
        case.site, case.state, seed=1, traffic={"llama70b": {"interactive": Poisson()}}
    )
    other.step((), 30.0)
    started = other.step((), 0.001).registers.grid_kwh
    other_kw = (other.step((), 60.0).registers.grid_kwh - started) * 60.0
    # even arrivals of one size against chance: a hundredth
    assert live_kw == pytest.approx(other_kw, rel=0.015)
    assert before_kws >= 0.0
    assert sum(pool.served.values()) > 2000


def test_a_cap_of_one_engine_acts_on_that_engine() -> None:
    plant, pool = plant_and_pool()
    send(plant, 20.0)
    free_w = pool.gpu_w(1)
    pool.limit(0, 300.0, None)
    send(plant, 20.0)
    assert pool.gpu_w(0) == pytest.approx(300.0, abs=2.0)
    assert pool.gpu_w(1) == pytest.approx(free_w, rel=0.02)


def test_gpus_and_pool_draw_the_same() -> None:
    plant, pool = plant_and_pool()
    send(plant, 10.0)
    factor = load_case(EXAMPLE).site.loss_to_connection_point("gpu")[0]
    gpus_kw = sum(2.0 * pool.gpu_w(i) for i in range(4)) * factor / 1000.0
    assert gpus_kw == pytest.approx(pool.lag.kw, rel=1e-9)


def test_a_sleeping_engine_lets_requests_wait_and_answers_them_when_it_wakes() -> None:
    plant, pool = plant_and_pool()
    pool.sleep(0)
    plant.step((), 5.0)
    assert pool.engines[0].mode == "asleep"
    ends: list[str] = []
    pool.submit(0, Request("batch", *TOKENS, plant.now_s), lambda _, __, why: ends.append(why))
    plant.step((), 5.0)
    assert ends == []
    pool.wake(0)
    plant.step((), 5.9)
    assert ends == []
    plant.step((), 5.0)
    assert ends == ["length"]


def test_a_lost_engine_cuts_answers_short_and_draws_nothing() -> None:
    plant, pool = plant_and_pool()
    ends = send(plant, 5.0)
    had = pool.engines[2].in_flight
    assert had > 0
    pool.kill(2)
    assert ends.count("abort") == had
    assert pool.gpu_w(2) == 0.0
    assert plant.step((), 1.0).pools["llama70b"].lost == 1
    pool.revive(2)
    assert plant.step((), 1.0).pools["llama70b"].lost == 0


def test_a_set_point_moves_the_battery_after_its_delay_and_no_more_than_it_may() -> None:
    plant, _ = plant_and_pool()
    converter = PlantConverter(plant)
    converter.follow(3.0, None)
    assert plant.step((), 0.08).battery_kw == 0.0  # the converter's delay
    assert plant.step((), 1.0).battery_kw == pytest.approx(3.0)
    converter.follow(99.0, None)
    plant.step((), 0.1)
    assert plant.step((), 1.0).battery_kw == pytest.approx(8.0)
    soc = plant.soc
    assert soc < 0.6
    converter.follow(0.0, None)
    plant.step((), 0.1)
    assert plant.step((), 1.0).battery_kw == 0.0


def test_an_armed_droop_answers_the_frequency() -> None:
    case = load_case(EXAMPLE)
    low = FrequencyModel(trace=((0.0, 49.9),))
    plant = LivePlant(case.site, case.state, frequency=low)
    # half of 1 kW at half of 0.2 Hz, no dead band: 5 kW per Hz
    PlantConverter(plant).follow(0.0, (0.0, 5.0))
    plant.step((), 0.5)
    assert plant.step((), 1.0).battery_kw == pytest.approx(0.5)
    plant.arm(None, 0.0)
    plant.step((), 0.5)
    assert plant.step((), 1.0).battery_kw == 0.0
    curve = ResponseCurve(shape="droop", full_hz=0.1)
    plant.arm(curve, 2.0)
    plant.step((), 0.5)
    assert plant.step((), 1.0).battery_kw == pytest.approx(2.0)


def test_the_synthetic_frequency_is_a_loop_about_its_nominal_value() -> None:
    points = synthetic_loop()
    hz = [value for _, value in points[:300]]
    assert points[300][1] == points[0][1]
    assert sum(hz) / 300 == pytest.approx(50.0, abs=1e-9)
    assert 0.012 < (sum((value - 50.0) ** 2 for value in hz) / 300) ** 0.5 < 0.014


def test_the_pages_file_is_a_twin() -> None:
    page = Path("docs/twin.md").read_text(encoding="utf-8")
    (block,) = [b.split("```")[0] for b in page.split("```toml\n")[1:]]
    spec = TwinSpec.parse(tomllib.loads(block))
    assert spec.state(load_case(EXAMPLE).site).pools["llama70b"].load_req_per_s["batch"] == 7.0
    assert spec.meter.dropouts_per_h == 2.0


def test_a_load_that_is_not_known_is_asked_for() -> None:
    case = load_case(EXAMPLE)
    spec = TwinSpec(load_req_per_s={"llama70b": {"interactive": 1.0}})
    with pytest.raises(Exception, match=r"load_req_per_s.llama70b"):
        spec.state(case.site)
