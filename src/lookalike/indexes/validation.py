"""What every index asks of attributes that are changed without their features."""

from collections.abc import Sequence

import numpy as np

from lookalike.errors import BadInput
from lookalike.types import Attributes, Ids


def check_attributes(ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> tuple[Ids, Ids]:
    """Ids and tenants as int64; raises BadInput where there is not one of each, or an id comes twice."""
    wanted, owners = np.asarray(ids, np.int64), np.asarray(tenants, np.int64)
    if not len(wanted) == len(owners) == len(attributes):
        raise BadInput(f"{len(wanted)} ids, {len(owners)} tenants and {len(attributes)} attributes: give one of each")
    if len(np.unique(wanted)) < len(wanted):
        raise BadInput("an id comes twice among attributes to change")
    return wanted, owners
