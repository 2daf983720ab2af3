"""Benchmarks: what is measured (subjects), how it is measured (phases), what is printed (tables).

    python -m benchmarks                                     print the tables
    python -m benchmarks --options                           print the HiGHS option settings
    python -m benchmarks --write docs/performance.md         write the page
    python -m benchmarks.comparison --write docs/comparison.md

Timings are information, never tests: the smoke test runs every phase once and asserts no time.
"""
