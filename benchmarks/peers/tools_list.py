"""The tools by the name of their file, and what they are called."""

from __future__ import annotations

TOOLS = {
    "ebplan": "ebplan",
    "highs": "HiGHS itself",
    "cvxpy": "cvxpy",
    "linopy": "linopy",
    "pyomo": "Pyomo",
    "pypsa": "PyPSA",
    "oemof": "oemof.solph",
    "emhass": "EMHASS",
    "flexmeasures": "FlexMeasures",
    "energypylinear": "energypylinear",
    "dervet": "DER-VET",
    "quest": "QuESt",
}
PROBLEMS = {
    "day": "day of 5 min",
    "year": "year of hours",
    "half_hours": "year of half-hours",
    "rolling": "365 windows",
    "plant": "day with reserve and loads",
}
BASELINE = "highs"
"""What the others are compared with."""
