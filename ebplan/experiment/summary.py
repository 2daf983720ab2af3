"""One row a case, of the measured variables that tables and figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebplan.document import parse_json, read_text
from ebplan.experiment.folder import ReportFolder, write_table

COLUMNS: dict[str, tuple[str, ...]] = {
    "case": ("case", "name"),
    "shape": ("case", "shape"),
    "concurrency": ("case", "concurrency"),
    "event": ("case", "event"),
    "direction": ("case", "direction"),
    "mechanisms": ("case", "set"),
    "seed": ("case", "seed"),
    "settled": ("baseline", "settled"),
    "settled_after_s": ("baseline", "after_s"),
    "baseline_grid_kw": ("baseline", "grid_kw"),
    "baseline_fleet_ac_kw": ("baseline", "fleet_ac_kw"),
    "baseline_server_kw": ("baseline", "server_kw"),
    "baseline_gpu_kw": ("baseline", "gpu_kw"),
    "baseline_req_per_s": ("baseline", "req_per_s"),
    "target_kw": ("target", "most_kw"),
    "battery_delay_s": ("battery", "delay_s"),
    "battery_to_90_s": ("battery", "to_90_s"),
    "bridge_kwh": ("battery", "bridge_kwh"),
    "battery_event_kwh": ("battery", "event_kwh"),
    "first_command_after_s": ("compute", "first_command_after_s"),
    "noticeable": ("compute", "noticeable"),
    "depth_kw": ("compute", "depth_kw"),
    "depth_share": ("compute", "depth_share"),
    "delay_s": ("compute", "delay_s"),
    "to_90_s": ("compute", "to_90_s"),
    "back_s": ("compute", "back_s"),
    "rebound_kw": ("recovery", "rebound_kw"),
    "fleet_rebound_kw": ("recovery", "fleet_rebound_kw"),
    "instances_back": ("recovery", "instances_back"),
    "handoff_after_trigger_s": ("handoff", "after_trigger_s"),
    "handoff_after_mechanisms_s": ("handoff", "after_mechanisms_s"),
    "battery_left_kw": ("handoff", "battery_left_kw"),
    "within_5_percent": ("delivery", "within_5_percent"),
    "worst_miss_kw": ("delivery", "worst_miss_kw"),
    "req_per_s_before": ("throughput", "baseline", "req_per_s"),
    "req_per_s_during": ("throughput", "mechanisms", "req_per_s"),
    "req_per_s_after": ("throughput", "recovery", "req_per_s"),
    "ttft_p95_before_s": ("latency", "baseline", "ttft_p95_s"),
    "ttft_p95_during_s": ("latency", "mechanisms", "ttft_p95_s"),
    "ttft_p95_after_s": ("latency", "recovery", "ttft_p95_s"),
    "itl_p50_before_s": ("latency", "baseline", "itl_p50_s"),
    "itl_p50_during_s": ("latency", "mechanisms", "itl_p50_s"),
    "itl_p95_during_s": ("latency", "mechanisms", "itl_p95_s"),
    "e2e_p50_before_s": ("latency", "baseline", "e2e_p50_s"),
    "e2e_p50_during_s": ("latency", "mechanisms", "e2e_p50_s"),
    "e2e_p95_before_s": ("latency", "baseline", "e2e_p95_s"),
    "e2e_p95_during_s": ("latency", "mechanisms", "e2e_p95_s"),
    "rejected": ("quality", "rejected"),
    "lowered": ("quality", "lowered"),
    "mean_quality": ("quality", "mean_score"),
    "cost_compute": ("value_cost", "compute"),
    "cost_money": ("value_cost", "money"),
    "shortfall_kwh": ("value_cost", "shortfall_kwh"),
    "currency": ("value_cost", "currency"),
    "plans": ("planning", "plans"),
    "all_checked": ("planning", "all_checked"),
}
"""Columns, and where each stands in ``measured.json``."""


def read_measured(folder: ReportFolder, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the measured variables of cases."""
    return [parse_json(read_text(folder.case(name) / "measured.json")) for name in names]


def summary_rows(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each case: the columns, and the cost by cause."""
    rows = []
    causes = sorted({cause for m in measured for cause in m["value_cost"]["by_cause"]})
    for m in measured:
        row: dict[str, Any] = {"simulated": True}
        for column, path in COLUMNS.items():
            value: Any = m
            for key in path:
                value = value[key]
            row[column] = value
        by_cause = m["value_cost"]["by_cause"]
        rows.append(row | {f"cost_{cause}": by_cause.get(cause, 0.0) for cause in causes})
    return rows


def write_summary(folder: ReportFolder, rows: Sequence[Mapping[str, Any]], form: Any) -> None:
    """Write ``summary.csv``, and the same as parquet where the telemetry is."""
    import csv
    import io

    from ebplan.document import write_atomically

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder.path / "summary.csv", text.getvalue())
    if form == "parquet":
        write_table(folder.path / "summary", rows, "parquet")
