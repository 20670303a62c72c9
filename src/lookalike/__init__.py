"""Search by image: hand in a picture, get back the original and everything that looks like it."""

__version__ = "0.1.0"
