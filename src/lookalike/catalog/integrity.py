"""Whether a catalog is intact: what the database checks by itself, and the invariants that only we know."""

from sqlalchemy import Connection, func, or_, select

from lookalike.catalog.db_errors import REMEDY
from lookalike.catalog.features import row_bytes
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, state
from lookalike.catalog.sqlite import attribute_index_differences, file_problems
from lookalike.catalog.statements import last_id, spec_ids
from lookalike.errors import Damaged


def check(conn: Connection, location: str) -> None:
    """Raise Damaged, naming the first few problems and the remedy."""
    # The file first: on damaged pages our own queries return wrong rows. PostgreSQL checks pages as it reads them.
    problems = file_problems(conn) if conn.dialect.name == "sqlite" else []
    problems = problems or _violated_invariants(conn)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Damaged(f"the catalog {location} is damaged ({'; '.join(problems[:3])}{more}); {REMEDY}")


def _violated_invariants(conn: Connection) -> list[str]:
    problems: list[str] = []
    ahead = select(func.count()).select_from(images)
    ahead = ahead.where(or_(images.c.seq > select(state.c.sequence).scalar_subquery(), images.c.id > last_id(conn)))
    if number := conn.execute(ahead).scalar_one():
        problems.append(f"{number} images are ahead of the counters")
    if conn.dialect.name == "sqlite" and (number := attribute_index_differences(conn)):
        problems.append(f"{number} attributes differ from their index")
    doubled = select(images.c.seq).group_by(images.c.seq).having(func.count() > 1).limit(1)
    if (sequence := conn.execute(doubled).scalar_one_or_none()) is not None:
        problems.append(f"two images share the sequence number {sequence}")
    revived = select(func.count()).select_from(deletions).join(images, images.c.id == deletions.c.image_id)
    if number := conn.execute(revived).scalar_one():
        problems.append(f"{number} deleted images are still there")
    keys = select(images.c.tenant_id, images.c.key).group_by(images.c.tenant_id, images.c.key)
    if (twice := conn.execute(keys.having(func.count() > 1).limit(1)).one_or_none()) is not None:
        problems.append(f"two images share the key {twice.key!r}")
    for spec, spec_id in spec_ids(conn).items():
        table = features_table(spec_id)
        wrong = select(func.count()).select_from(table)
        wrong = wrong.where(func.length(table.c.vector) != row_bytes(spec), table.c.vector != RELEASED)
        if number := conn.execute(wrong).scalar_one():
            problems.append(f"{number} features of {spec.name} have a wrong size")
        stray = select(func.count()).select_from(table).outerjoin(images, images.c.id == table.c.image_id)
        if number := conn.execute(stray.where(images.c.id.is_(None))).scalar_one():
            problems.append(f"{number} features of {spec.name} belong to no image")
    return problems
