"""The objects of features that are encoded apart from searching."""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from numpy import frombuffer

from lookalike import results, types
from lookalike.errors import UnsupportedQuery
from lookalike.wire.objects import WireObject, doc


@dataclass(frozen=True, slots=True)
class Feature(WireObject):
    """A feature of an image: a hash in hexadecimal digits, or a vector in base64; neither where it has none."""

    hex: str | None = field(default=None, metadata=doc("A hash: packed bits."))
    base64: str | None = field(default=None, metadata=doc("A vector of length 1: numbers of 32 bits, little-endian."))
    fingerprint: str | None = field(
        default=None, metadata=doc("That of the encoder. A vector needs one; that of a hash is checked if given.")
    )

    @classmethod
    def of(cls, value: "str | bytes | types.Features | None", fingerprint: str | None) -> "Feature":
        """The object of a hash (digits, bytes or uint8) or a vector; raises UnsupportedQuery for another dtype."""
        if value is None or isinstance(value, str):
            return cls(value, None, fingerprint)
        if isinstance(value, bytes):
            return cls(value.hex(), None, fingerprint)
        if value.dtype == "uint8":
            return cls(value.tobytes().hex(), None, fingerprint)
        if value.dtype != "float32":
            raise UnsupportedQuery(f"features are uint8 (packed bits) or float32, not {value.dtype}; convert them")
        return cls(None, b64encode(value.astype("<f4").tobytes()).decode(), fingerprint)

    def value(self) -> "str | types.Features | None":
        """The hash or the vector; raises UnsupportedQuery for invalid base64."""
        if self.base64 is None:
            return self.hex
        try:
            return frombuffer(b64decode(self.base64, validate=True), "<f4").astype("float32")
        except ValueError:  # also of a number of bytes that is no multiple of four
            raise UnsupportedQuery("a vector must be numbers of 32 bits in base64 (RFC 4648, section 4)") from None


@dataclass(frozen=True, slots=True)
class ImageFeatures(WireObject):
    """The features of an image, by pipeline."""

    features: dict[str, Feature]

    @classmethod
    def of(cls, found: results.ImageFeatures) -> "ImageFeatures":
        """The object of features."""
        return cls({name: Feature.of(value, found.fingerprints.get(name)) for name, value in found.features.items()})

    def query(self, name: str = "") -> results.ImageFeatures:
        """The query of the object; raises UnsupportedQuery."""
        fingerprints = {name: feature.fingerprint for name, feature in self.features.items() if feature.fingerprint}
        features = {name: feature.value() for name, feature in self.features.items()}
        return results.ImageFeatures(features, fingerprints, name)
