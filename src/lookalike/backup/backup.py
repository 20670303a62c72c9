"""Making a backup: a snapshot of the catalog, the gallery's settings, and the manifest last."""

import time
from dataclasses import replace
from pathlib import Path

from lookalike import __version__
from lookalike.backup.manifest import CATALOG_FILE, Manifest, file_digest, write_manifest
from lookalike.catalog import Catalog
from lookalike.catalog.transfer import table_digests, write_snapshot
from lookalike.config import GALLERY_FILE, Settings, read_gallery, write_gallery
from lookalike.errors import BadInput, BadSetting, Unavailable
from lookalike.factory import CATALOG_FILE as GALLERY_CATALOG
from lookalike.indexes.address import without_password


def make_backup(gallery: Path, destination: Path, settings: Settings) -> Manifest:
    """Back up a gallery into a folder, while it is searched and written to.

    Everything that was acknowledged before the call is in it: records, attributes, features, thumbnails, API keys,
    feedback. Image files, indexes (a restore rebuilds them) and passwords are not.

    Args:
        gallery: Folder of the gallery.
        destination: Folder that does not exist yet, or is empty.
        settings: Settings of the process.

    Returns:
        The manifest, which has been written last.

    Raises:
        NotFound: There is no gallery.
        BadInput: The destination is not empty, or the features are stored by an engine only.
        Unavailable: The disk is full, or the catalog's database does not answer.
    """
    begun = time.time()
    gallery_settings = read_gallery(gallery).with_environment(settings)
    _make_empty(destination)
    with Catalog.open(gallery_settings.catalog or gallery / GALLERY_CATALOG, read_only=True) as catalog:
        if catalog.features.keeper() == "engine":
            raise BadInput(
                "the catalog was created with features=engine, so that features are stored by the engine only and a "
                "backup of the catalog alone could not be restored: back up its database and the engine by their own "
                "tools, the engine first"
            )
        write_snapshot(catalog.database, destination / CATALOG_FILE)
        database = "postgresql" if catalog.database.is_postgresql else "sqlite"
    engines = {name: without_password(at) for name, at in gallery_settings.index.items() if "://" in at}
    embedded = {name: at for name, at in gallery_settings.index.items() if "://" not in at}
    write_gallery(destination, replace(gallery_settings, catalog=None, index=embedded))
    with Catalog.open(destination / CATALOG_FILE, read_only=True) as snapshot:
        manifest = Manifest(
            version=__version__,
            created=begun,
            database=database,
            sequence=snapshot.changes.last_sequence(),
            images=snapshot.images.count(None),
            tenants={name: snapshot.images.count(id_) for name, id_ in snapshot.tenants.ids_by_name().items()},
            files={name: file_digest(destination / name) for name in (CATALOG_FILE, GALLERY_FILE)},
            tables=table_digests(snapshot),
            engines=engines,
        )
    write_manifest(destination, manifest)
    return manifest


def _make_empty(destination: Path) -> None:
    try:
        destination.mkdir(parents=True, exist_ok=True)
        occupied = next(destination.iterdir(), None)
    except FileExistsError:
        raise BadSetting(f"{destination} is a file; name a folder that does not exist yet") from None
    except OSError as error:
        raise Unavailable(f"cannot write to {destination}: {error.strerror}") from error
    if occupied is not None:
        raise BadInput(f"{destination} is not empty ({occupied.name}); name a folder that does not exist yet")
