"""The request-level plant against what was measured: the map, the snapshot, the consolidation."""
