"""The catalog as the rest of the program sees it: one object, safe to use from several threads."""

from lookalike.catalog import dialect, integrity
from lookalike.catalog.api_keys import ApiKeys
from lookalike.catalog.changing import Changing
from lookalike.catalog.db_errors import translate_errors
from lookalike.catalog.duplicate_feedback import DuplicateFeedback
from lookalike.catalog.feature_retention import Releasing
from lookalike.catalog.following import Following
from lookalike.catalog.jobs import Jobs
from lookalike.catalog.leases import Leases
from lookalike.catalog.looking import Looking
from lookalike.catalog.thumbnails import Thumbnails


class Catalog(Changing, Looking, Following, Releasing, Leases, ApiKeys, Jobs, Thumbnails, DuplicateFeedback):
    """The truth of a gallery: images, digests, attributes, features, and every change in order.

    Every method is one transaction; one that changes something returns when the change is durable. Readers see a
    moment of the past and never wait for a writer. Methods raise Damaged for a broken file, GalleryBusy while another
    process writes for longer than `busy_seconds`, Unavailable where the database does not answer. Lists may be of any
    length; they are cut into statements as the database takes them.
    """

    def check(self) -> None:
        """Read everything and verify it; raises Damaged with what was found. Reads the whole file: takes a while."""
        with self._read() as conn, dialect.without_statement_timeout(conn):
            integrity.check(conn, self._where)

    def checkpoint(self) -> None:
        """Empty the write-ahead log into the file, so that the file alone can be copied."""
        self._check_open()
        with self._one_writer, translate_errors(self._where):
            dialect.checkpoint(self._engine)

    def vacuum(self) -> None:
        """Give the room of deleted images back to the disk; rewrites the file."""
        self._check_open()
        with self._one_writer, translate_errors(self._where):
            dialect.vacuum(self._engine)
