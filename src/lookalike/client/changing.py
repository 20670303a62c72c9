"""The room of the client where images are added, changed and removed."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lookalike.client.requests import bytes_of
from lookalike.client.responses import outcome_of, parse
from lookalike.client.room import PAGE, Room, path_of
from lookalike.client.transport import Request, RetryPolicy
from lookalike.client.uploads import Uploads
from lookalike.errors import BadSetting, NotFound
from lookalike.image_files import items_of
from lookalike.results import DEFAULT_TENANT, DeleteResult, Filter, Precondition
from lookalike.types import Attributes, Item, Outcome, Record

HEADER_BYTES = 4096
"""Attributes that fit a header; more of them travel in the body."""


class Changing(Room):
    """Every method returns when the service has made its change durable."""

    def add(
        self,
        what: str | Path | Iterable[str | Path | Item],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> list[Outcome]:
        """Add files, folders or items of this machine, and give each one's outcome, in a list."""
        return list(self.add_iter(what, key=key, attributes=attributes, tenant=tenant))

    def add_iter(
        self,
        what: str | Path | Iterable[str | Path | Item | Outcome],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Iterator[Outcome]:
        """Add files, folders or items of this machine, and give each one's outcome once it is durable.

        They are read and sent as they are needed, some dozens a request; the service decodes only what it does not
        know. A group of images whose connection broke off is sent again.
        """
        uploads = Uploads(self._transport, self._headers(tenant), self._limits, lambda item: self._put(item, tenant))
        return uploads.run(items_of(what, key, attributes))

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        expected: Precondition = None,
    ) -> Outcome:
        """Add one image, or put it in the place of the one with its key, on condition."""
        return self._put(Item(key, data, attributes), tenant, expected)

    def remove(
        self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT, expected: int | None = None
    ) -> list[str]:
        """Forget images; gives the keys that were there.

        Not repeated once it was sent: a second time nothing would be there. `expected` needs a single key.
        """
        wanted = [keys] if isinstance(keys, str) else list(dict.fromkeys(keys))
        if expected is not None:
            if len(wanted) != 1:
                raise BadSetting("a service removes a single image on condition")
            return self._remove_expected(wanted[0], tenant, expected)
        removed: list[str] = []
        for start in range(0, len(wanted), PAGE):
            told = self._json("POST", "/v1/images:delete", tenant, {"keys": wanted[start : start + PAGE]}, "unsent")
            removed += parse(lambda told: list(told["keys"]), told)
        return removed

    def remove_by_filter(self, filter: Filter, *, tenant: str = DEFAULT_TENANT) -> DeleteResult:
        """Forget the images whose attributes fit a filter, all in one step; of the keys the first 1,000 are told."""
        told = self._json("POST", "/v1/images:delete", tenant, {"filter": dict(filter)}, "unsent")
        return parse(lambda told: DeleteResult(told["keys"], told["sequence"], told["deleted"]), told)

    def set_attributes(
        self,
        key: str,
        attributes: Attributes,
        *,
        merge: bool = True,
        tenant: str = DEFAULT_TENANT,
        expected: int | None = None,
    ) -> Record:
        """Change what is kept with an image: merged into the old attributes, or instead of them."""
        body = {"attributes": dict(attributes), "merge": merge}
        headers = {} if expected is None else {"If-Match": f'"{expected}"'}
        repeat: RetryPolicy = "always" if expected is None else "refused"
        call = Request("PATCH", path_of(key), repeat, self._headers(tenant) | headers, body=lambda: {"json": body})
        return self._record(self._transport.json(call), tenant)

    def not_a_match(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Remember that no two of these images are copies of each other."""
        self._judge("POST", keys, tenant)

    def not_a_match_undo(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        """Take that back for every pair of these images."""
        self._judge("DELETE", keys, tenant)

    def _put(self, item: Item, tenant: str, expected: Precondition = None) -> Outcome:
        data = bytes_of(item.source, self._limits)
        headers = self._headers(tenant)
        if expected is not None:
            headers |= {"If-None-Match": "*"} if expected == "absent" else {"If-Match": f'"{expected}"'}
        attributes = None if item.attributes is None else json.dumps(dict(item.attributes))
        if attributes is not None and len(attributes) > HEADER_BYTES:
            body: dict[str, Any] = {"files": {"file": ("image", data)}, "data": {"attributes": attributes}}
        else:
            headers |= {"Content-Type": "application/octet-stream"}
            headers |= {} if attributes is None else {"X-Attributes": attributes}
            body = {"content": data}
        repeat: RetryPolicy = "always" if expected is None else "refused"
        told = self._transport.json(Request("PUT", path_of(item.key), repeat, headers, body=lambda: body))
        return parse(lambda told: outcome_of(told, item.path), told)

    def _remove_expected(self, key: str, tenant: str, expected: int) -> list[str]:
        headers = self._headers(tenant) | {"If-Match": f'"{expected}"'}
        try:
            self._transport.send(Request("DELETE", path_of(key), "unsent", headers))
        except NotFound:
            return []
        return [key]

    def _judge(self, method: str, keys: Sequence[str], tenant: str) -> None:
        told = {"keys": list(keys)}
        headers = self._headers(tenant)
        self._transport.send(
            Request(method, "/v1/duplicates:not-a-match", headers=headers, body=lambda: {"json": told})
        )
