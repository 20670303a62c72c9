"""What the command line, the library, the client and the web call: add, search, get, remove, repair, status."""

from lookalike.gallery.changing_ import DeleteResult, Precondition
from lookalike.gallery.compare import Comparison, PipelineComparison
from lookalike.gallery.duplicates import Cluster, ClusterPage
from lookalike.gallery.filters import Filter, conditions_of, parse_filter, parse_value
from lookalike.gallery.gallery import Gallery
from lookalike.gallery.queries import DEFAULT_TENANT, Query, StoredImage
from lookalike.gallery.search import MAX_RESULTS
from lookalike.gallery.searching_ import Failure, SearchOptions
from lookalike.gallery.status import PipelineStatus, RepairReport, Status
from lookalike.image_files import files_below, items_from, items_of

__all__ = [
    "DEFAULT_TENANT",
    "MAX_RESULTS",
    "Cluster",
    "ClusterPage",
    "Comparison",
    "DeleteResult",
    "Failure",
    "Filter",
    "Gallery",
    "PipelineComparison",
    "PipelineStatus",
    "Precondition",
    "Query",
    "RepairReport",
    "SearchOptions",
    "Status",
    "StoredImage",
    "conditions_of",
    "files_below",
    "items_from",
    "items_of",
    "parse_filter",
    "parse_value",
]
