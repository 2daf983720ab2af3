"""Meters of nodes: what a management controller or the processors themselves say a node draws."""
