"""How often the tests that kill servers do so; every restart of a server costs seconds of processor time."""

import os

ROUNDS = int(os.environ.get("LOOKALIKE_KILL_ROUNDS", "1"))
"""Kills of a server; more by the environment. Writers are killed so many times more often."""
