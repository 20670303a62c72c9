"""Export and import of images with their features as Parquet; needs the extra `parquet`."""

from lookalike.parquet.export import export_parquet
from lookalike.parquet.import_file import ImportReport, import_parquet

__all__ = ["ImportReport", "export_parquet", "import_parquet"]
