"""A day of the controller on a simulated site: many calls, many faults, every sample judged."""
