"""Benchmarks of studies: what they claim, and how long they take."""
