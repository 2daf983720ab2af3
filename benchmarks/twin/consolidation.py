"""The consolidation experiment (M-13): an 8B model, the load of two GPUs on one.

Only the range of the released watts is published, so nothing is fitted to it. The 8B instance here
is what the library's prior says of such a model on such a GPU before anyone has measured it: its
power against requests in flight, and its throughput. The loads are assumed: the source says six
experiments over a 20-fold range.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmarks.twin.bench import LoadedPool, steady
from ebplan.models import library
from ebplan.models.card import Assumption, Dataset, ModelCard
from ebplan.models.configuration import Configuration
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.fleet import FleetModel, SmoothRoof, WorkloadModel
from ebplan.models.fleet_prior import FleetPrior
from ebplan.twin.requests import ClosedLoop, EngineModel, Poisson, Traffic

NAME = "h200nvl-llama3-8b-by-prior"
REFERENCE = "h200nvl-llama3-8b-m13"
PRIOR = "llm-serving"
WORKLOAD = "chat"
USERS = (4, 8, 16, 32, 56, 80)
"""Users who wait for their answers, on both GPUs together: six loads over a 20-fold range,
assumed."""
RATES = (1.8, 3.6, 7.2, 14.4, 25.0, 36.0)
"""Requests per second that come at random instead; assumed as well."""
SLOTS = 96
"""Requests in service at once on a GPU; assumed, enough for the highest load on one."""
TOKENS_OUT = 100.0
"""Output tokens of a request; assumed."""
IDLE_KW = 0.12
"""Awake without load, per GPU; assumed, as for the 70B fleet."""
ENGINE = EngineModel(prompt_tokens_per_s=25_000.0, kv_tokens=800_000, context_s_per_token=2.7e-8)
"""Assumed: 16 GFLOP a token at half of a GPU's peak; nine tenths of 141 GB less 16 GB of weights at
0.131 MB a token, read at 4.8 TB/s."""


class Consolidated(NamedTuple):
    """One load, on two GPUs and on one."""

    load: str
    """What comes, in words."""
    spread_kw: float
    """Draw of both GPUs, sharing the load."""
    released_w: float
    """What is released when one serves all of it."""
    req_per_s: float
    """Answered per second on both."""
    req_per_s_on_one: float
    """Answered per second on one."""


class Experiment(NamedTuple):
    """All loads, and what they are compared with."""

    loads: list[Consolidated]
    reference: ConsolidationReference
    prior_off: tuple[float, float]
    """Ends of the prior's interval of the power at half load, over its middle, less 1."""


def consolidations(seed: int) -> Experiment:
    """Simulate the loads on two GPUs and on one."""
    reference = library.load(REFERENCE)
    assert isinstance(reference, ConsolidationReference), f"{REFERENCE} is a reference"
    loads: dict[str, Traffic] = {f"{n} users": ClosedLoop(users=n) for n in USERS}
    loads |= {f"{x:g} req/s at random": Poisson(rates=((0.0, x),)) for x in RATES}
    curve = _prior().power.curve(_configuration())
    half = np.array([0.5 * SLOTS])
    middle, interval = curve.centre(half)[0], curve.estimate(half)
    off = (float(interval.low[0] / middle - 1.0), float(interval.high[0] / middle - 1.0))
    with TemporaryDirectory() as folder:
        Path(folder, f"{NAME}.json").write_bytes(_fleet().model_dump_json().encode())
        before = os.environ.get(library.FOLDERS)
        os.environ[library.FOLDERS] = folder
        try:
            found = [_at(load, traffic, seed) for load, traffic in loads.items()]
        finally:
            os.environ.pop(library.FOLDERS)
            if before is not None:
                os.environ[library.FOLDERS] = before
    return Experiment(found, reference, off)


def _at(load: str, traffic: Traffic, seed: int) -> Consolidated:
    pool = LoadedPool(WORKLOAD, traffic, instances=2, fleet_model=NAME, engine=ENGINE)
    both = steady({"m13": pool}, seed=seed)["m13"]
    one = steady({"m13": pool._replace(drained=1)}, seed=seed)["m13"]
    released_w = 1000.0 * (both.gpu_kw - one.gpu_kw)
    return Consolidated(load, both.gpu_kw, released_w, both.req_per_s, one.req_per_s)


def _prior() -> FleetPrior:
    prior = library.load(PRIOR)
    assert isinstance(prior, FleetPrior), f"{PRIOR} is a prior"
    return prior


def _configuration() -> Configuration:
    return Configuration(
        name=NAME,
        model="Llama-3.1-8B-Instruct",
        gpu="H200 NVL",
        gpus=1,
        gpu_limit_w=600.0,
        memory_bandwidth_tb_per_s=4.8,
        precision="bf16",
        architecture="dense",
        parameters=8.0,
        active_parameters=8.0,
        tokens_out=TOKENS_OUT,
    )


def _fleet() -> FleetModel:
    """Return the 8B instance as the prior has it."""
    prior, configuration = _prior(), _configuration()
    c = np.geomspace(1.0, SLOTS, 25)
    busy_kw = prior.power.curve(configuration).centre(c) - IDLE_KW
    exponent, log_kw = np.polyfit(np.log(c / SLOTS), np.log(busy_kw), 1)
    ln_step, ln_roof, ln_sharp = prior.throughput.curve(configuration).theta.tolist()
    roof = SmoothRoof(
        service_time_s=float(np.exp(ln_step)) * TOKENS_OUT,
        roof_req_per_s=float(np.exp(ln_roof)) / TOKENS_OUT,
        sharpness=float(np.exp(ln_sharp)),
    )
    capacity = float(roof.req_per_s(np.array(float(SLOTS))))
    first = float(roof.req_per_s(np.array(1.0))) / capacity
    workload = WorkloadModel(
        labels=(WORKLOAD,),
        tokens_out_per_request=TOKENS_OUT,
        tokens_provenance="assumed",
        roof=roof,
        capacity_req_per_s=capacity,
        saturated_kw=IDLE_KW + float(np.exp(log_kw)),
        exponent=float(exponent),
        covered_from_utilisation=first,
    )
    known = prior.card.data[0]
    return FleetModel(
        name=NAME,
        hardware="NVIDIA H200 NVL",
        model="Llama-3.1-8B, BF16",
        gpus_per_instance=1,
        instances_measured=1,
        concurrency_limit_per_instance=SLOTS,
        idle_kw=IDLE_KW,
        measurement_point=prior.measurement_point,
        workloads={WORKLOAD: workload},
        card=ModelCard(
            title="An 8B model on an H200 NVL by the prior alone",
            summary="Nobody measured it.",
            data=(Dataset(**known.model_dump()),),
            method="Middle of the prior's interval.",
            measurement_point=prior.measurement_point,
            measurement_note="As the prior's.",
            assumptions=(
                Assumption(
                    name="idle power",
                    value=1000.0 * IDLE_KW,
                    unit="W per GPU",
                    provenance="assumed",
                    note="as for the 70B fleet",
                ),
            ),
        ),
    )
