"""Benchmarks behind docs/numbers.md: each module compares with a peer or a limit in one run (see README.md)."""
