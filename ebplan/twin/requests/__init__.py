"""The request-level plant: every request queues, is worked on by an engine, and is answered.

``plant`` puts it together. ``arrivals`` says when requests come, ``router`` who is let in;
``service`` takes them to engines, ``engine`` works on them, ``kv_cache`` is what it remembers and
``law`` how fast it is. ``pool`` takes the commands, ``roster`` says which engine is in which mode,
``power`` what they draw.
"""

from ebplan.twin.requests.plant import RequestPlant
from ebplan.twin.requests.service import Answer
from ebplan.twin.requests.settings import (
    ClosedLoop,
    EngineModel,
    Poisson,
    Sizes,
    Trace,
    TracedRequest,
    Traffic,
)
from ebplan.twin.requests.trace import read_rates, read_trace

__all__ = [
    "Answer",
    "ClosedLoop",
    "EngineModel",
    "Poisson",
    "RequestPlant",
    "Sizes",
    "Trace",
    "TracedRequest",
    "Traffic",
    "read_rates",
    "read_trace",
]
