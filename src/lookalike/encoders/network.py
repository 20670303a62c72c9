"""What every kind of network gives the loader: an OpenVINO model and the digest of its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lookalike.encoders.model_config import ModelEntry


@dataclass(frozen=True, slots=True)
class Network:
    """A network `(n, height, width, 3) uint8 RGB -> (n, d) float32`.

    `model` is an `openvino.Model`; `weights` the digest of its weights; `architecture` says what else makes the
    numbers what they are; `batch` is the only batch it takes, None for any.
    """

    model: Any
    weights: str
    architecture: str
    batch: int | None = None


class NetworkLoader(Protocol):
    """A module that knows one kind of network."""

    FILE: str

    def store(self, data: bytes, entry: ModelEntry, what: str) -> bytes:
        """Check a file that was fetched or handed in, and give the bytes to keep in the cache."""
        ...

    def open_network(self, path: Path, entry: ModelEntry) -> Network:
        """The network in a file of the cache, or in one that the user named."""
        ...
