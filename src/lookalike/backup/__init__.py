"""Backups of a gallery: made while writers go on, restored into a new gallery or another database, compared."""

from lookalike.backup.backup import make_backup
from lookalike.backup.manifest import Manifest, read_manifest
from lookalike.backup.restore import Restored, restore_backup
from lookalike.backup.verify import Difference, compare_backup, verify_backup

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
