"""Request classes of a pool: loads and prices become those of instance-equivalents."""

from __future__ import annotations

from ebplan.pose.known import KnownPool
from ebplan.pose.ways import pose_lowered, pose_pull_forward
from ebplan.problem import ClassProblem, DeferralProblem
from ebplan.site import Pool, RequestClass
from ebplan.state import PoolState


def pose_classes(
    pool: Pool, known: KnownPool, state: PoolState, awake: int
) -> tuple[ClassProblem, ...]:
    """Return the classes; protected ones may be rejected only where no instance could serve."""
    loads, lowest = known.loads, known.lowest
    unprotected = sum(loads[key] for key, c in pool.classes.items() if not c.protected)
    protected = sum(loads.values()) - unprotected
    kept = _kept_in_tier(pool, known, awake)
    own = sum(loads.values()) - sum(kept.values())
    # turning away what the lower precision serves frees nobody for the others
    spare = unprotected - sum(n for key, n in kept.items() if not pool.classes[key].protected)
    beyond = max(0.0, _unavoidable(pool, own, awake, lowest) - spare)
    share = min(beyond / protected, 1.0) if protected > 0.0 else 0.0
    classes = []
    for key, requests in pool.classes.items():
        capacity = known.fleet.capacity_req_per_s(requests.workload)
        classes.append(
            ClassProblem(
                name=key,
                load=loads[key],
                requests_per_s_per_instance=capacity,
                value_per_instance_s=requests.value_per_request * capacity,
                max_rejected=loads[key] * (share if requests.protected else 1.0),
                deferral=_pose_deferral(requests, capacity, state.backlog_requests.get(key, 0.0)),
                pull_forward=pose_pull_forward(
                    requests, capacity, state.queued_requests.get(key, 0.0)
                ),
                lowered=pose_lowered(requests, known.precision, capacity),
            )
        )
    return tuple(classes)


def _pose_deferral(
    requests: RequestClass, capacity_req_per_s: float, waiting: float
) -> DeferralProblem | None:
    if requests.deferral is None:
        return None
    return DeferralProblem(
        deadline_s=requests.deferral.deadline_s,
        price_per_work_h=requests.deferral.price_per_request_h * capacity_req_per_s,
        backlog_at_start=waiting / capacity_req_per_s,
    )


def _kept_in_tier(pool: Pool, known: KnownPool, awake: int) -> dict[str, float]:
    """Return what the lower precision goes on serving of what it serves at the start, by class.

    Of a class it serves a share at most; the rest takes instances of the pool's own precision.
    Classes of which it may serve most come first, then protected ones.
    """
    left = 0.0
    if (tier := known.tier) is not None:
        holding = tier.active_at_start + tier.drained_at_start
        left = min(tier.load_at_start, holding * tier.capacity_factor * pool.max_utilisation)
    beside = awake * pool.max_utilisation
    kept: dict[str, float] = {}
    shares = {
        key: part.eligible_share
        for key, requests in pool.classes.items()
        if (part := pose_lowered(requests, known.precision, 1.0)) is not None
    }
    for key in sorted(shares, key=lambda key: (-shares[key], not pool.classes[key].protected)):
        share = shares[key]
        most = min(left, share * known.loads[key])
        if share < 1.0:
            most = min(most, beside * share / (1.0 - share))
            beside -= most * (1.0 - share) / share if share > 0.0 else 0.0
        kept[key] = most
        left -= most
    return kept


def _unavoidable(pool: Pool, load: float, awake: int, lowest: float) -> float:
    """Return the load that no choice of active instances, among those awake, can serve."""
    counts = [n for n in range(1, awake + 1) if lowest * n <= load]
    return min((max(0.0, load - pool.max_utilisation * n) for n in counts), default=load)
