"""What the command line, the library and later the web call: add, search, get, remove, repair, status."""

from lookalike.service.compare import Comparison
from lookalike.service.duplicates import Cluster
from lookalike.service.filters import Filter, parse_filter, parse_value
from lookalike.service.search import MAX_RESULTS
from lookalike.service.service import Query, SearchOptions, SearchService
from lookalike.service.sources import files_below, items_from
from lookalike.service.status import PipelineStatus, RepairReport, Status

__all__ = [
    "MAX_RESULTS",
    "Cluster",
    "Comparison",
    "Filter",
    "PipelineStatus",
    "Query",
    "RepairReport",
    "SearchOptions",
    "SearchService",
    "Status",
    "files_below",
    "items_from",
    "parse_filter",
    "parse_value",
]
