"""The replay of the measured event: where the data is there, it says what the page shows."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks import replay_field
from benchmarks.measured_event import DATA, FILE
from ebplan.replay.recording import read_recording
from ebplan.site import Site


def test_without_the_data_it_says_so(tmp_path) -> None:
    done = CliRunner().invoke(replay_field.main, ["--data", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith("left out: no gpu_power/")


@pytest.mark.skipif(not (DATA / FILE).exists(), reason=f"no {FILE} in the data folder")
def test_the_event_is_found_and_carried_to_the_connection_point(tmp_path) -> None:
    case = replay_field.scaled(replay_field.example("under_frequency"), instances=8)
    (tmp_path / "site.json").write_text(case.site.to_json(), "utf-8")
    site, recording = read_recording(replay_field.spec_of((DATA / FILE).resolve()), tmp_path)
    assert isinstance(site, Site)
    assert recording.metered_at == "gpu"
    (event,) = recording.events
    factor, _ = site.loss_to_connection_point("gpu")
    assert event.target is not None
    # 27.9 kW at the GPUs (docs/measured_event.md)
    assert event.target.delta_kw == pytest.approx(-27.9 * factor, abs=0.1)
    assert event.duration_s == pytest.approx(3.4 * 3600.0, rel=0.02)
