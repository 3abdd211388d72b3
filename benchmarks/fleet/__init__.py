"""The figures of the control plane. `python -m benchmarks.fleet` lists them; `make bench-fleet` runs them all.

Each prints Markdown rows for benchmarks/RESULTS.md, and `(missed)` where a goal is. They want a quiet machine.
"""
