"""Indexes that run inside the process, and what they share."""
