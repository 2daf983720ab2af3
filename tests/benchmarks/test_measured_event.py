"""The measured event: what is known of it comes out; without the data it is left out by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.measured_event import DATA, FILE, main, measured, report


def test_without_the_data_it_is_left_out_with_the_reason(tmp_path: Path) -> None:
    assert measured(tmp_path) is None
    done = CliRunner().invoke(main, ["--data", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith("left out: no gpu_power/")


@pytest.mark.skipif(not (DATA / FILE).exists(), reason=f"no {FILE} in the data folder")
def test_what_is_known_of_the_event_comes_out() -> None:
    """Its description: about 93 kW, a ramp to 65 kW (-30 %), about 3 h, back to 90 kW with dips."""
    found = measured(DATA)
    assert found is not None
    assert found.baseline_kw.value == pytest.approx(93.0, abs=1.0)
    assert found.hold_kw.value == pytest.approx(65.0, abs=1.0)
    assert found.depth_share.value == pytest.approx(0.30, abs=0.01)
    assert found.hold_s.value == pytest.approx(3 * 3600.0, rel=0.12)
    assert found.settled_s.value == pytest.approx(15 * 60.0, abs=300.0)
    assert found.returned_kw.value == pytest.approx(90.0, abs=0.5)
    assert {"hold", "after"} <= {e.during for e in found.excursions if e.kind == "dip"}
    text = report(found)
    assert "3 May" in text
    assert "Apache-2.0" in text
