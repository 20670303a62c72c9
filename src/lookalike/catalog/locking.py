"""The locks of write transactions, and the order in which all of them take these.

On PostgreSQL writers run concurrently. So that none waits for another in a cycle, each write transaction

1. locks the rows of the stored images that it concerns, in the order of their ids (`lock_images`);
2. writes everything large: features and thumbnails;
3. locks the row of sequence numbers (`next_sequence_numbers`), writes the images' rows, and commits. Held until the
   commit, this lock makes sequence numbers visible in their order; taken last, it is held as briefly as can be.

Rare transactions that must see one another's result (a new tenant, a new spec, a job queue with a limit) lock that row
from their beginning (`lock_state`), and lock no image afterwards. On SQLite a write transaction holds the one lock of
the file from its beginning, and all of this costs nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from lookalike.catalog.schema import images, state
from lookalike.catalog.statements import batches


@dataclass(frozen=True, slots=True)
class LockedImage:
    """A stored image whose row this transaction has locked."""

    id: int
    tenant_id: int
    key: str
    sha256: bytes
    sequence: int


def lock_images(conn: Connection, ids: Iterable[int], *, deleting: bool = False) -> dict[int, LockedImage]:
    """Lock stored images in the order of their ids; by id, without those that are gone."""
    i = images.c
    query = select(i.id, i.tenant_id, i.key, i.sha256, i.seq).order_by(i.id).with_for_update(key_share=not deleting)
    locked: dict[int, LockedImage] = {}
    for batch in batches(sorted(set(ids))):
        locked.update((row.id, LockedImage(*row)) for row in conn.execute(query.where(i.id.in_(batch))))
    return locked


def next_sequence_numbers(conn: Connection, number: int) -> Iterator[int]:
    """The next sequence numbers; no other writer gets any until this transaction ends."""
    query = update(state).values(sequence=state.c.sequence + number).returning(state.c.sequence)
    last = int(conn.execute(query).scalar_one())
    return iter(range(last - number + 1, last + 1))


def lock_state(conn: Connection) -> None:
    """Lock the row of sequence numbers, and with it out all other writers of images."""
    conn.execute(select(state.c.one).with_for_update()).one()
