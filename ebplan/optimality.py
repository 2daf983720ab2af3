"""When a plan may be called optimal.

By itself, so that a solver process knows it without loading documents, and is there the sooner.
"""

OPTIMAL_GAP = 1e-3
"""Largest gap, as a share of the money, at which a plan is called optimal."""
