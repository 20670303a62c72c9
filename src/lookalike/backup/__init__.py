"""Backups of a gallery: made while writers go on, restored into a new gallery or another database, compared."""

from lookalike.backup.backup import make_backup
from lookalike.backup.manifest import Difference, Manifest, compare_backup, read_manifest, verify_backup
from lookalike.backup.restore import Restored, restore_backup

__all__ = [
    "Difference",
    "Manifest",
    "Restored",
    "compare_backup",
    "make_backup",
    "read_manifest",
    "restore_backup",
    "verify_backup",
]
