"""Search by image: find the original of an image, and every image that looks like it.

import lookalike

gallery = lookalike.open("gallery", create=True)
gallery.add("~/Pictures")
for hit in gallery.search("copy.jpg").hits:
    print(hit.evidence, hit.distance, hit.key)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookalike.client import Client, Job
    from lookalike.errors import (
        AccessDenied,
        BadInput,
        BadSetting,
        ChangesPruned,
        Conflict,
        Damaged,
        FeatureMismatch,
        GalleryBusy,
        ImageRejected,
        LookalikeError,
        NotFound,
        TooManyRequests,
        Unavailable,
        UnsupportedQuery,
    )
    from lookalike.factory import open_gallery as open  # noqa: A004 - the function by which the library is entered
    from lookalike.gallery import Gallery
    from lookalike.interfaces import GalleryAPI
    from lookalike.results import (
        Change,
        ChangePage,
        Cluster,
        ClusterPage,
        Comparison,
        DeleteResult,
        Diagnosis,
        DiagnosisStep,
        Explanation,
        Filter,
        GalleryPipeline,
        HashComparison,
        ImageFeatures,
        IndexComparison,
        IndexMove,
        MeasuredRecall,
        MissingFiles,
        OtherIndex,
        PipelineComparison,
        PipelineStatus,
        Query,
        RecordRepair,
        RepairReport,
        SearchOptions,
        Status,
        StoredImage,
        StoredRecords,
    )
    from lookalike.types import (
        Answer,
        Border,
        Box,
        Hit,
        Item,
        Outcome,
        PixelSource,
        Probability,
        Record,
        Transform,
        Verification,
        VerificationReport,
    )

__version__ = "0.2.0"

# Imported on first use: decoding processes import this package and must start quickly, and the client needs neither
# a database nor a decoder.
_MODULES = {
    "client": "Client Job",
    "errors": "AccessDenied BadInput BadSetting ChangesPruned Conflict Damaged FeatureMismatch GalleryBusy "
    "ImageRejected LookalikeError NotFound TooManyRequests Unavailable UnsupportedQuery",
    "factory": "open",
    "gallery": "Gallery",
    "interfaces": "GalleryAPI",
    "results": "Change ChangePage Cluster ClusterPage Comparison DeleteResult Diagnosis DiagnosisStep Explanation "
    "Filter GalleryPipeline HashComparison ImageFeatures IndexComparison IndexMove MeasuredRecall MissingFiles "
    "OtherIndex PipelineComparison PipelineStatus Query RecordRepair RepairReport SearchOptions "
    "Status StoredImage StoredRecords",
    "types": "Answer Border Box Hit Item Outcome PixelSource Probability Record Transform Verification "
    "VerificationReport",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = [
    "AccessDenied",
    "Answer",
    "BadInput",
    "BadSetting",
    "Border",
    "Box",
    "Change",
    "ChangePage",
    "ChangesPruned",
    "Client",
    "Cluster",
    "ClusterPage",
    "Comparison",
    "Conflict",
    "Damaged",
    "DeleteResult",
    "Diagnosis",
    "DiagnosisStep",
    "Explanation",
    "FeatureMismatch",
    "Filter",
    "Gallery",
    "GalleryAPI",
    "GalleryBusy",
    "GalleryPipeline",
    "HashComparison",
    "Hit",
    "ImageFeatures",
    "ImageRejected",
    "IndexComparison",
    "IndexMove",
    "Item",
    "Job",
    "LookalikeError",
    "MeasuredRecall",
    "MissingFiles",
    "NotFound",
    "OtherIndex",
    "Outcome",
    "PipelineComparison",
    "PipelineStatus",
    "PixelSource",
    "Probability",
    "Query",
    "Record",
    "RecordRepair",
    "RepairReport",
    "SearchOptions",
    "Status",
    "StoredImage",
    "StoredRecords",
    "TooManyRequests",
    "Transform",
    "Unavailable",
    "UnsupportedQuery",
    "Verification",
    "VerificationReport",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULE_OF[name]}")
    value = globals()[name] = getattr(module, "open_gallery" if name == "open" else name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
