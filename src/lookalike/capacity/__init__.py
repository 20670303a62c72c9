"""Capacity planning: memory, disk and cores of a gallery, computed from measured and published constants."""
