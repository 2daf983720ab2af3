"""Model parameters tracked from telemetry: believed, bounded, their drift named."""
