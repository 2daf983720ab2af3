"""Recorded telemetry through the planner: what was done, and what ebplan would have done."""
