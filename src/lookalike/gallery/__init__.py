"""The gallery: add, search, compare, find duplicates, remove, repair."""

from lookalike.gallery.filters import conditions_of, parse_filter, parse_value
from lookalike.gallery.gallery import Gallery

__all__ = ["Gallery", "conditions_of", "parse_filter", "parse_value"]
