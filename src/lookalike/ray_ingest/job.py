"""What the workers of a run need to know, to open the same gallery on any machine."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from lookalike import __version__
from lookalike.config import (
    GallerySettings,
    Precision,
    Settings,
    from_environment,
    index_variable,
    read_gallery,
    write_gallery,
)
from lookalike.errors import BadSetting, FeatureMismatch
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery


@dataclass(frozen=True, slots=True)
class IngestJob:
    """Settings of a gallery, and of a run.

    `gallery` has the addresses of catalog and engines with their passwords, which Ray carries to its workers; `cores`
    are those of a worker. `fingerprints` are those of the features by pipeline, `version` that of this package.
    """

    gallery: GallerySettings = field(repr=False)
    precision: Precision
    fingerprints: dict[str, str]
    cores: int
    exif: bool = True
    again: bool = False
    version: str = __version__

    def open(self, folder: Path) -> Gallery:
        """Open the gallery in an empty folder of this machine; its embedded indexes stay empty there.

        Raises:
            BadSetting: Another version of this package is installed here.
            FeatureMismatch: The encoders of this machine make other features.
            Unavailable: The catalog does not answer, or weights cannot be downloaded.
        """
        if self.version != __version__:
            raise BadSetting(
                f"the command runs Lookalike {self.version} and a machine of the cluster {__version__}; install the "
                "same version on all"
            )
        write_gallery(folder, replace(self.gallery, catalog=None, index={}))  # these may hold passwords
        settings = replace(
            from_environment(),
            catalog=self.gallery.catalog,
            index={index_variable(name): address for name, address in self.gallery.index.items()},
            precision=self.precision,
            workers=self.cores,
            server=None,
        )
        gallery = open_gallery(folder, settings=settings)
        if (here := gallery.fingerprints()) != self.fingerprints:
            gallery.close()
            other = [name for name, fingerprint in here.items() if self.fingerprints.get(name) != fingerprint]
            raise FeatureMismatch(
                f"the features of {', '.join(other)} differ between the machines; install the same version of "
                "Lookalike, the same LOOKALIKE_MODELS and the same weights on all"
            )
        return gallery


def prepare_job(
    folder: Path, settings: Settings, gallery: Gallery, cores: int, *, exif: bool = True, again: bool = False
) -> IngestJob:
    """Describe the gallery in a folder, which is opened as `gallery`, for workers of `cores` cores."""
    found = read_gallery(folder).with_environment(settings)
    return IngestJob(found, found.precision or settings.precision, gallery.fingerprints(), cores, exif, again)


def check_catalog(folder: Path, settings: Settings) -> None:
    """Raise BadSetting for a gallery whose catalog is a file: one process at a time could write it."""
    if read_gallery(folder).with_environment(settings).catalog is None:
        raise BadSetting(
            f"the catalog of {folder} is a SQLite file, which one process at a time writes, and ingest runs several. "
            "Create a gallery on PostgreSQL (`lookalike init --catalog postgresql://user@host/name`), or add the "
            "manifest with this process alone: `lookalike add --manifest ...`"
        )
