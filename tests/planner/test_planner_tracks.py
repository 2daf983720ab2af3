"""The planner tracks its models on the twin: what it plans with, says, and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ebplan.case import Case
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.event import Event, ResponseShape, Target
from ebplan.models.tracking.delivery import CONFIRMATIONS
from ebplan.models.tracking.known import SiteKnown
from ebplan.planner import Planner
from ebplan.planner.tracking import Tracking, explained_kw
from ebplan.pose import pose
from ebplan.state import PoolCorrection, State
from ebplan.twin import FluidPlant, LoadNoise, MeterModel
from ebplan.twin.disturbances import BatteryDrift, Disturbance, PoolDrift

POOL = "llama70b"


@pytest.fixture
def planner(case: Case) -> Iterator[Planner]:
    """Return a planner whose plans are the same however busy the machine is."""
    with Planner(case.site, clock="work") as one:
        yield one.start(wait_s=30.0)


def drift(number: str, factor: float, at_s: float) -> PoolDrift:
    return PoolDrift.model_validate(
        {"at_s": at_s, "pool": POOL, "number": number, "factor": factor}
    )


def with_load(case: Case, factor: float) -> Case:
    told = case.state.pools[POOL]
    loads = {name: rate * factor for name, rate in told.load_req_per_s.items()}
    pools = {POOL: told.model_copy(update={"load_req_per_s": loads})}
    return case.model_copy(update={"state": case.state.model_copy(update={"pools": pools})})


def curtailment(case: Case, at_s: float, kw: float = -1.2) -> Event:
    return Event(
        id="curtailment",
        type="congestion_curtailment",
        start=case.state.at + timedelta(seconds=at_s),
        duration_s=3600.0,
        target=Target(delta_kw=kw),
        response=ResponseShape(recovery_s=60.0, rebound_limit_kw=0.5),
        payment_per_kwh=50.0,
        penalty_per_kwh=300.0,
    )


def live(
    planner: Planner,
    case: Case,
    until_s: float,
    *upsets: Disturbance,
    events: tuple[Event, ...] = (),
    silent: bool = False,
    cells: bool = False,
) -> Iterator[Cycle]:
    meter = MeterModel(dropouts_per_h=1e9, dropout_s=1e9) if silent else None
    plant = FluidPlant(
        case.site,
        case.state,
        load_noise=LoadNoise(std=0.03),
        meter=MeterModel(noise_kw=0.01),
        pool_meter=meter or MeterModel(noise_share=0.005, dropouts_per_h=2.0),
        cells_meter=MeterModel(noise_share=0.005) if cells else None,
        disturbances=upsets,
        seed=3,
    )
    yield from ClosedLoop(planner, plant, events).run(until_s)


def test_a_drift_is_named_and_planned_with(planner: Planner, case: Case) -> None:
    told: list[tuple[float, tuple[str, ...]]] = []
    event = curtailment(case, 240.0, kw=-0.5)
    for cycle in live(planner, case, 260.0, drift("power", 1.08, 60.0), events=(event,)):
        told.append((cycle.at_s, planner.doubts))
        assert cycle.plan.check.ok
    first_s = next(at_s for at_s, doubts in told if any("draws more" in d for d in doubts))
    assert 60.0 < first_s <= 180.0
    assert planner._followed is not None
    pool = planner._followed.problem.pools[0]
    assert pool.correction is not None
    assert pool.power_at_start_kw() / pose(case.event, case.site, case.state).pools[
        0
    ].power_at_start_kw() == pytest.approx(1.08, abs=0.015)
    assert any("as measured" in s for s in planner._followed.plan.explanation)
    # the load that no pool explains is what it was: what the gain explains left it
    plain = pose(case.event, case.site, case.state)
    assert planner._followed.problem.other_kw[0] == pytest.approx(plain.other_kw[0], abs=0.08)


def test_without_a_pool_meter_nothing_is_tracked(planner: Planner, case: Case) -> None:
    for _ in live(planner, case, 200.0, drift("power", 1.08, 20.0), silent=True):
        pass
    assert planner.known == SiteKnown()
    assert planner.doubts == ()


def test_a_planner_that_does_not_track_plans_as_fitted(case: Case) -> None:
    with Planner(case.site, tracks=False) as planner:
        for _ in live(planner, case, 120.0, drift("power", 1.08, 20.0)):
            pass
        assert planner.known == SiteKnown()
        assert planner._followed is not None
        assert planner._followed.problem.pools[0].correction is None


def test_caps_that_deliver_less_are_de_rated_at_once_and_one_event_does_not_restore_them(
    planner: Planner, case: Case
) -> None:
    case = with_load(case, 1.4)
    event = curtailment(case, 30.0)
    upsets = (drift("cap_delivery", 0.8, 100.0), drift("cap_delivery", 1.25, 200.0))
    shares: list[tuple[float, float]] = []
    for cycle in live(planner, case, 420.0, *upsets, events=(event,)):
        assert cycle.plan.check.ok
        shares.append((cycle.at_s, planner.known.pool(POOL).caps.share))
    assert {share for at_s, share in shares if at_s < 100.0} == {1.0}
    de_rated_s, share = next((at_s, share) for at_s, share in shares if share < 1.0)
    assert 100.0 < de_rated_s <= 125.0
    assert share == pytest.approx(0.8, abs=0.1)
    # for 220 s of the same event they deliver again, which is one use
    reasons = [e.reason for e in planner.known.history if e.parameter == "cap_delivery"]
    assert set(reasons) == {"de-rated"}


class Capped:
    """A pool whose caps are told by hand: uses as long and as far apart as a test says."""

    def __init__(self, case: Case, planner: Planner) -> None:
        self.tracking = Tracking(case.site, known_caps(0.8))
        self.problem = pose(case.event, case.site, case.state)
        self.plan = planner.plan(case.event, case.state)
        self.case, self.at_s = case, 0.0

    def live(self, seconds: int, cap_w: float | None) -> None:
        """Let seconds pass under a cap that delivers all that it should, or under none."""
        (pool,) = self.problem.pools
        at_rest = {"active": 4, "drained": 0, "asleep": 0, "cap_w_per_gpu": cap_w}
        epoch = self.plan.pools[POOL][0].model_copy(update={"t_s": 0.0, **at_rest})
        start = self.case.state.at + timedelta(seconds=self.at_s)
        plan = self.plan.model_copy(update={"start": start, "pools": {POOL: (epoch,)}})
        natural_kw = pool.power_at_start_kw()
        power_kw = natural_kw
        if cap_w is not None:
            power_kw = 4 * cap_w * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw
        told = self.case.state.pools[POOL].model_copy(update={"power_kw": power_kw})
        for _ in range(seconds):
            self.at_s += 1.0
            at = self.case.state.at + timedelta(seconds=self.at_s)
            state = self.case.state.model_copy(update={"at": at, "pools": {POOL: told}})
            self.tracking.see(self.problem, plan, state)

    @property
    def share(self) -> float:
        return self.tracking.known.pool(POOL).caps.share


def known_caps(share: float) -> SiteKnown:
    return SiteKnown.model_validate({"pools": {POOL: {"caps": {"share": share}}}})


def test_de_rated_caps_are_restored_by_uses_not_by_readings_of_one(
    planner: Planner, case: Case
) -> None:
    one = Capped(case, planner)
    one.live(60, None)
    for use in range(CONFIRMATIONS):
        assert one.share == 0.8, use
        one.live(300, 430.0)
        one.live(90, None)
    assert one.share == 1.0
    assert [e.reason for e in one.tracking.known.history] == ["restored"]


def test_a_cap_that_comes_back_within_a_minute_goes_on_with_its_use(
    planner: Planner, case: Case
) -> None:
    one = Capped(case, planner)
    one.live(60, None)
    for _ in range(3 * CONFIRMATIONS):
        one.live(60, 430.0)
        one.live(30, None)
    assert one.share == 0.8
    # nor does a restart in the middle of a use begin another
    again = Capped(case, planner)
    for _ in range(CONFIRMATIONS):
        again.tracking = Tracking(case.site, again.tracking.known)
        again.live(100, 430.0)
    assert again.share == 0.8


@pytest.mark.parametrize("cells", [False, True])
def test_a_battery_that_fades_is_named_so_and_never_planned_lossless(
    planner: Planner, case: Case, cells: bool
) -> None:
    fade = BatteryDrift(at_s=30.0, number="energy", factor=0.94)
    gives = curtailment(case, 20.0, kw=-4.0).model_copy(update={"duration_s": 600.0})
    takes = gives.model_copy(
        update={
            "id": "surplus",
            "type": "renewable_surplus",
            "start": case.state.at + timedelta(seconds=700.0),
            "target": Target(delta_kw=4.0),
        }
    )
    assert case.site.battery is not None
    most = case.site.battery.highest_efficiency
    for cycle in live(planner, case, 1400.0, fade, events=(gives, takes), cells=cells):
        assert cycle.plan.check.ok
        assert planner._followed is not None
        of = planner._followed.problem.battery
        assert of is not None
        assert of.cell_efficiency <= most < 1.0
    named = [e.parameter for e in planner.known.history if e.reason == "drift"]
    assert "battery_energy_gain" in named
    assert "battery_efficiency_gain" not in named
    assert planner.known.battery_energy_gain == pytest.approx(0.94, abs=0.012)
    assert planner.known.battery_efficiency_gain == pytest.approx(1.0, abs=0.012)
    assert [doubt for doubt in planner.doubts if "has faded" in doubt]


def test_a_restart_forgets_nothing(planner: Planner, case: Case) -> None:
    for _ in live(planner, case, 150.0, drift("power", 1.08, 20.0)):
        pass
    saved = planner.known.to_json()
    with Planner(case.site, known=SiteKnown.parse(saved.encode())) as again:
        again.replan(case.state)
        assert again.known == planner.known
        assert again._followed is not None
        assert again._followed.problem.pools[0].correction is not None
        assert any("draws more" in doubt for doubt in again.doubts)


def corrected(state: State, by: PoolCorrection) -> State:
    pools = {POOL: state.pools[POOL].model_copy(update={"correction": by})}
    return state.model_copy(update={"pools": pools})


def test_what_a_correction_explains_is_what_the_pools_draw_more(case: Case) -> None:
    before = PoolCorrection(idle_gain=1.1, busy_gain=0.95)
    problem = pose(case.event, case.site, corrected(case.state, before))
    now = corrected(case.state, PoolCorrection(idle_gain=0.97, busy_gain=1.06))
    after = pose(case.event, case.site, now)
    more_kw = after.pools[0].power_at_start_kw() - problem.pools[0].power_at_start_kw()
    assert explained_kw(problem, now) == pytest.approx(more_kw, rel=1e-9)
    assert explained_kw(problem, corrected(case.state, before)) == 0.0


def test_a_correction_that_is_given_is_kept(case: Case) -> None:
    tracking = Tracking(case.site, known_caps(0.8))
    given = corrected(case.state, PoolCorrection(busy_gain=1.2))
    assert tracking.corrected(given).pools == given.pools
    found = tracking.corrected(case.state).pools[POOL].correction
    assert found == PoolCorrection(cap_delivery=0.8)
