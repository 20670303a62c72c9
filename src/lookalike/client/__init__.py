"""The HTTP client: a gallery that a service keeps, by the same methods as one of our own."""

from lookalike.client.client import Client
from lookalike.client.jobs import Job

__all__ = ["Client", "Job"]
