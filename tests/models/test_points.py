"""Readings kept in an artefact: thinned, told apart, and absent where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.models.points import MOST_POINTS, Points


def test_many_readings_are_thinned_evenly_and_counted() -> None:
    points = Points.of("a", {"x": np.arange(5000.0)}, np.arange(5000) >= 2500)
    assert len(points) == MOST_POINTS
    assert points.readings == 5000
    x = points.column("x")
    assert (x[0], x[-1]) == (0.0, 4999.0)
    assert np.diff(x).max() < 2.0 * np.diff(x).min()
    assert ((x >= 2500) == ~points.used()).all()


def test_few_readings_are_kept_as_they_are() -> None:
    points = Points.of("a", {"x": np.array([1.0, 2.0]), "y": np.array([3.0, 4.0])})
    assert points.readings == len(points) == 2
    assert points.used().all()
    assert Points.parse(points.model_dump_json().encode()) == points


@pytest.mark.parametrize(
    ("columns", "left_out", "told"),
    [({"x": [1.0], "y": []}, [], "columns of one length"), ({"x": [1.0]}, [1], "0..0")],
)
def test_readings_that_do_not_fit_together_are_refused(
    columns: dict[str, list[float]], left_out: list[int], told: str
) -> None:
    data = {"series": "a", "columns": columns, "left_out": left_out, "readings": 1}
    with pytest.raises(InputError, match=told):
        Points.parse(data)
