"""Measurements behind docs/numbers.md: one module a question, each comparing with a peer or a limit in one run."""
