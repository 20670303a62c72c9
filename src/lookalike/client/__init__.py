"""The HTTP client: the gallery of a service, with the methods of a local one."""

from lookalike.client.client import Client
from lookalike.client.responses import Job

__all__ = ["Client", "Job"]
