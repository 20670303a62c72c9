"""Units of work: some hundred rows of a manifest, and what became of them."""

import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lookalike.image_files import FolderScan
from lookalike.sources.manifest import Manifest, by_tenant
from lookalike.types import Attributes, FoundObject, Outcome

UNIT_ROWS = 512
"""Rows of a unit: what a worker that dies begins again, where the catalog has what it wrote."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows with their tenants; after the last unit of a file, one with the rows that name no image, by kind."""

    rows: Sequence[tuple[str, FoundObject | Outcome]]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitResult:
    """The outcomes of a unit's rows with their tenants, and what its file had besides."""

    outcomes: Sequence[tuple[str, Outcome]]
    passed_over: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitReader:
    """Reads the files of manifests, a file a task, unit by unit. Reading again gives the same units.

    `tenant` is that of rows without one; `attributes` are given to every image; names that match `excludes` are passed
    over in inventories.
    """

    tenant: str
    attributes: Attributes | None = None
    excludes: Sequence[str] = ()

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        for file in batch["file"]:
            for unit in self.units(str(file)):
                yield {"unit": [pickle.dumps(unit)]}

    def units(self, file: str) -> Iterator[Unit]:
        """Yield the units of a file; raises as `Manifest.entries`."""
        scan = FolderScan(tuple(self.excludes))
        manifest = Manifest(file, is_passed_over=scan.passes_over, attributes=self.attributes, others=scan.others)
        rows = ((tenant, found) for tenant, run in by_tenant(manifest.entries(), self.tenant) for found in run)
        while chunk := list(islice(rows, UNIT_ROWS)):
            yield Unit(chunk)
        if scan.passed_over or scan.others:
            yield Unit((), Counter(scan.passed_over), Counter(scan.others))
