"""Whether a catalog is sound: what the database checks by itself, and what only we can know."""

from sqlalchemy import Connection, func, or_, select

from lookalike.catalog.attributes import disagreements
from lookalike.catalog.db_errors import REMEDY
from lookalike.catalog.dialect import integrity_problems, last_id
from lookalike.catalog.reading import specs
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, state
from lookalike.catalog.vectors import row_bytes
from lookalike.errors import Damaged


def check(conn: Connection, where: str) -> None:
    """Raise Damaged, naming the first few problems and the remedy."""
    # The database first: on damaged pages our own queries would not tell the truth.
    problems = integrity_problems(conn) or _violated_invariants(conn)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Damaged(f"the catalog {where} is damaged ({'; '.join(problems[:3])}{more}); {REMEDY}")


def _violated_invariants(conn: Connection) -> list[str]:
    problems: list[str] = []
    now = conn.execute(select(state)).one()
    ahead = (
        select(func.count()).select_from(images).where(or_(images.c.seq > now.sequence, images.c.id > last_id(conn)))
    )
    if number := conn.execute(ahead).scalar_one():
        problems.append(f"{number} images are ahead of the counters")
    if number := disagreements(conn):
        problems.append(f"{number} attributes differ from their index")
    doubled = select(images.c.seq).group_by(images.c.seq).having(func.count() > 1).limit(1)
    if (seq := conn.execute(doubled).scalar_one_or_none()) is not None:
        problems.append(f"two images share the sequence number {seq}")
    revived = select(func.count()).select_from(deletions).join(images, images.c.id == deletions.c.image_id)
    if number := conn.execute(revived).scalar_one():
        problems.append(f"{number} deleted images are still there")
    places = select(images.c.tenant_id, images.c.key).group_by(images.c.tenant_id, images.c.key)
    if (twice := conn.execute(places.having(func.count() > 1).limit(1)).one_or_none()) is not None:
        problems.append(f"two images share the key {twice.key!r}")
    for spec, fingerprint_id in specs(conn).items():
        table = features_table(fingerprint_id)
        wrong = select(func.count()).select_from(table)
        wrong = wrong.where(func.length(table.c.vector) != row_bytes(spec), table.c.vector != RELEASED)
        if number := conn.execute(wrong).scalar_one():
            problems.append(f"{number} features of {spec.name} have a wrong size")
        stray = select(func.count()).select_from(table).outerjoin(images, images.c.id == table.c.image_id)
        if number := conn.execute(stray.where(images.c.id.is_(None))).scalar_one():
            problems.append(f"{number} features of {spec.name} belong to no image")
    return problems
