"""A writer dies at any moment: the log verifies, and what was promised is there."""

from __future__ import annotations

import random

from audit_logs import KEY

from benchmarks.audit.kill import kill_once


def test_a_killed_writer_leaves_a_log_that_verifies(tmp_path) -> None:
    KEY.write(tmp_path / "site.key")
    rng = random.Random(7)
    left = [kill_once(tmp_path / "log", tmp_path / "site.key", rng) for _ in range(6)]
    assert all(one.ok for one in left), left
    assert {one.how for one in left} == {"killed", "power lost"}
    assert any(one.unsigned for one in left)
