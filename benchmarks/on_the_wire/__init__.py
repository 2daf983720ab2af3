"""The real controller against a simulated site in real time, over the wire."""
