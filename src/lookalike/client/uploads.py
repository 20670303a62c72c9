"""Adding many images: read one by one from the disk and sent in groups, of which each is told as it is durable."""

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from lookalike.client.responses import outcome_of, parse
from lookalike.client.transport import Request, Transport, pause_after
from lookalike.errors import BadInput, ImageRejected, LookalikeError
from lookalike.imaging import Limits, read_bytes
from lookalike.problem_details import error_of
from lookalike.types import Item, Outcome

GROUP = 64
"""Images sent in one request; their outcomes come when all of them are sent."""
GROUP_BYTES = 32 * 1024 * 1024
"""Bytes after which a group is sent sooner."""
AT_ONCE = 2
"""Groups under way at the same time: while the service works on one, the next is read and sent."""
NDJSON = "application/x-ndjson"
Put = Callable[[Item], Outcome]


class Uploads:
    """Adds items to a service's gallery. Memory holds an image for each request, beside items that hold bytes.

    `put` adds a single one.
    """

    def __init__(self, transport: Transport, headers: Mapping[str, str], limits: Limits, put: Put) -> None:
        self._transport = transport
        self._headers = {**headers, "Content-Type": NDJSON}
        self._limits = limits
        self._put = put

    def run(self, items: Iterable[Item | Outcome]) -> Iterator[Outcome]:
        """One outcome an item, group by group; raises what stops all of it.

        A group whose connection broke off is sent again: what had arrived of it comes out as unchanged. Groups that
        share a key are sent one after the other, so that the later image stays.
        """
        rest = iter(items)
        underway: deque[tuple[set[str], Future[list[Outcome]]]] = deque()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookalike-upload") as threads:
            while group := self._next(rest):
                keys = {one.key for one in group if isinstance(one, Item)}
                while len(underway) == AT_ONCE or any(keys & others for others, _ in underway):
                    yield from underway.popleft()[1].result()
                underway.append((keys, threads.submit(self._outcomes, group)))
            for _, outcomes in underway:
                yield from outcomes.result()

    def _outcomes(self, group: list[Item | Outcome]) -> list[Outcome]:
        known = [one for one in group if isinstance(one, Outcome)]
        return known + list(self._sent([one for one in group if isinstance(one, Item)]))

    def _next(self, rest: Iterator[Item | Outcome]) -> list[Item | Outcome]:
        group: list[Item | Outcome] = []
        nbytes = 0
        for item in rest:
            group.append(item)
            nbytes += _size(item)
            if len(group) >= GROUP or nbytes >= GROUP_BYTES:
                break
        return group

    def _sent(self, items: list[Item]) -> Iterator[Outcome]:
        attempt = 0
        while items:
            attempt += 1
            outcomes, error = self._group(items)
            yield from outcomes
            told = deque(outcome.key for outcome in outcomes)
            items = [item for item in items if not _taken(told, item.key)]
            if error is None:
                return
            pause = pause_after(error, "always", attempt)
            if pause is not None:
                time.sleep(pause)
            elif isinstance(error, BadInput):
                yield from map(self._alone, items)  # whichever of them it was
                return
            else:
                raise error

    def _group(self, items: list[Item]) -> tuple[list[Outcome], LookalikeError | None]:
        """The outcomes of a group, and what broke it off."""
        unreadable: list[Outcome] = []

        def lines() -> Iterator[bytes]:
            unreadable.clear()  # this is another attempt
            for item in items:
                line = self._line(item)
                if isinstance(line, Outcome):
                    unreadable.append(line)
                else:
                    yield line

        call = Request("POST", "/v1/images:batch", headers=self._headers, body=lambda: {"content": lines()})
        try:
            answer = self._transport.send(call)
        except BadInput as error:
            return unreadable, error
        paths: dict[str, deque[str | None]] = {}
        for item in items:
            paths.setdefault(item.key, deque()).append(item.path)
        outcomes: list[Outcome] = []
        for line in answer.content.splitlines():
            told = self._transport.object_in(line, answer)
            if "error" in told:
                return unreadable + outcomes, error_of(int(told["error"].get("status", 500)), told["error"])
            path = paths[told["key"]].popleft() if paths.get(told["key"]) else None
            outcomes.append(parse(partial(outcome_of, path=path), told))
        return unreadable + outcomes, None

    def _line(self, item: Item) -> bytes | Outcome:
        try:
            data = item.source if isinstance(item.source, bytes) else read_bytes(item.source, self._limits)
        except ImageRejected as error:
            return rejected(item, error)
        line: dict[str, Any] = {"key": item.key, "image": {"base64": base64.b64encode(data).decode()}}
        if item.attributes is not None:
            line["attributes"] = dict(item.attributes)
        return json.dumps(line).encode() + b"\n"

    def _alone(self, item: Item) -> Outcome:
        try:
            return self._put(item)
        except BadInput as error:
            return rejected(item, error)


def rejected(item: Item, error: BadInput) -> Outcome:
    """The outcome of an item that cannot be accepted."""
    word = f"{error.reason}: " if isinstance(error, ImageRejected) else ""
    return Outcome(item.key, item.path, "rejected", f"{word}{error}")


def _taken(told: deque[str], key: str) -> bool:
    if key in told:
        told.remove(key)
        return True
    return False


def _size(item: Item | Outcome) -> int:
    """Bytes that an item will take, as far as is known; a file that is gone is told of when it is read."""
    if isinstance(item, Outcome):
        return 0
    if isinstance(item.source, bytes):
        return len(item.source)
    try:
        return Path(item.source).stat().st_size
    except OSError:
        return 0
