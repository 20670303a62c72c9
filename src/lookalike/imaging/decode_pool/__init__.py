"""Decoding in worker processes that may crash, hang or be killed."""
