"""The plans of clean-ups that clients have seen and may apply."""

import secrets
import threading
from collections import OrderedDict

from lookalike.cleanup import CleanupPlan
from lookalike.errors import NotFound

MAX_PLANS = 8
"""Plans in memory."""


class CleanupPlans:
    """The latest plans by id, of all tenants. Safe to use from several threads."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, CleanupPlan] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, plan: CleanupPlan) -> str:
        """Keep a plan, and drop the oldest where there are too many; returns its id."""
        id_ = secrets.token_hex(16)
        with self._lock:
            self._plans[id_] = plan
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
        return id_

    def get(self, id_: str, tenant: str) -> CleanupPlan:
        """A plan of a tenant; raises NotFound."""
        with self._lock:
            plan = self._plans.get(id_)
        if plan is None or plan.options.tenant != tenant:
            raise NotFound("there is no such plan any more: plan the clean-up again")
        return plan
