"""What the command line, the library, the client and the web call: add, search, get, remove, repair, status."""

from lookalike.service.asking import Failure, SearchOptions
from lookalike.service.changing import Expected, Removed
from lookalike.service.compare import Comparison, Measured
from lookalike.service.duplicates import Cluster, ClusterPage
from lookalike.service.filters import Filter, conditions_of, parse_filter, parse_value
from lookalike.service.search import MAX_RESULTS
from lookalike.service.service import SearchService
from lookalike.service.sources import files_below, items_from, items_of
from lookalike.service.status import PipelineStatus, RepairReport, Status
from lookalike.service.stored import DEFAULT_TENANT, Query, Stored

__all__ = [
    "DEFAULT_TENANT",
    "MAX_RESULTS",
    "Cluster",
    "ClusterPage",
    "Comparison",
    "Expected",
    "Failure",
    "Filter",
    "Measured",
    "PipelineStatus",
    "Query",
    "Removed",
    "RepairReport",
    "SearchOptions",
    "SearchService",
    "Status",
    "Stored",
    "conditions_of",
    "files_below",
    "items_from",
    "items_of",
    "parse_filter",
    "parse_value",
]
