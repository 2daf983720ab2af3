"""The twin: a simulated bench that takes a plan's commands and answers with measurements.

``plant`` says what a plant is; ``fluid`` is one in which requests flow and powers follow in closed
form, fast enough for days of one-second cycles; ``requests`` follows single requests on the same
site (``site_plant``); ``run`` carries a plan out on any of them.
The twin knows the site, its models and the commands; it never sees who planned them.
"""

from ebplan.twin.fluid import FluidPlant
from ebplan.twin.plant import Measurements, Plant
from ebplan.twin.requests import RequestPlant
from ebplan.twin.run import carry_out
from ebplan.twin.settings import BatteryHeat, Bias, Droop, FrequencyModel, LoadNoise, MeterModel

__all__ = [
    "BatteryHeat",
    "Bias",
    "Droop",
    "FluidPlant",
    "FrequencyModel",
    "LoadNoise",
    "Measurements",
    "MeterModel",
    "Plant",
    "RequestPlant",
    "carry_out",
]
