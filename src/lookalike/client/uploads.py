"""Adding many images: batches of NDJSON, read from disk while they are sent, several requests in parallel."""

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from lookalike.client.requests import bytes_of, exif_params
from lookalike.client.responses import outcome_of
from lookalike.client.transport import Request, Transport, retry_delay
from lookalike.errors import BadInput, ImageRejected, LookalikeError
from lookalike.imaging import Limits
from lookalike.problem_details import error_of
from lookalike.types import Item, Outcome
from lookalike.wire.images import Outcome as OutcomeObject
from lookalike.wire.objects import Problem, parse, to_dict

BATCH_SIZE = 64
"""Images of one request; their outcomes come when all of them are sent."""
MAX_BATCH_BYTES = 32 * 1024 * 1024
"""Bytes after which a batch is sent although it has fewer images."""
PARALLEL_REQUESTS = 2
"""While the service works on one batch, the next is read and sent."""
NDJSON = "application/x-ndjson"


class Uploads:
    """Adds items to a service's gallery. Memory holds one file for each request, beside items that are bytes.

    `put` adds a single item; it finds out which item of a refused batch was invalid.
    """

    def __init__(
        self,
        transport: Transport,
        headers: Mapping[str, str],
        limits: Limits,
        put: Callable[[Item], Outcome],
        *,
        exif: bool = True,
    ) -> None:
        self._transport = transport
        self._headers = {**headers, "Content-Type": NDJSON}
        self._limits = limits
        self._put = put
        self._params = exif_params(exif)

    def run(self, items: Iterable[Item | Outcome]) -> Iterator[Outcome]:
        """One outcome an item, batch by batch; raises the error that stops all of it.

        A batch whose connection was lost is sent again: images that had arrived come out as unchanged. Batches that
        share a key are sent one after the other, so that the later image stays.
        """
        rest = iter(items)
        pending: deque[tuple[set[str], Future[list[Outcome]]]] = deque()
        with ThreadPoolExecutor(PARALLEL_REQUESTS, thread_name_prefix="lookalike-upload") as threads:
            while batch := self._next_batch(rest):
                keys = {item.key for item in batch if isinstance(item, Item)}
                while len(pending) == PARALLEL_REQUESTS or any(keys & others for others, _ in pending):
                    yield from pending.popleft()[1].result()
                pending.append((keys, threads.submit(self._outcomes, batch)))
            for _, outcomes in pending:
                yield from outcomes.result()

    def _outcomes(self, batch: list[Item | Outcome]) -> list[Outcome]:
        known = [outcome for outcome in batch if isinstance(outcome, Outcome)]
        return known + list(self._send([item for item in batch if isinstance(item, Item)]))

    def _next_batch(self, rest: Iterator[Item | Outcome]) -> list[Item | Outcome]:
        batch: list[Item | Outcome] = []
        nbytes = 0
        for item in rest:
            batch.append(item)
            nbytes += _size(item)
            if len(batch) >= BATCH_SIZE or nbytes >= MAX_BATCH_BYTES:
                break
        return batch

    def _send(self, items: list[Item]) -> Iterator[Outcome]:
        """Send a batch, and what is left of it again after a transient failure."""
        attempt = 0
        while items:
            attempt += 1
            outcomes, error = self._send_once(items)
            yield from outcomes
            finished = deque(outcome.key for outcome in outcomes)
            items = [item for item in items if not _take(finished, item.key)]
            if error is None:
                return
            delay = retry_delay(error, "always", attempt)
            if delay is not None:
                time.sleep(delay)
            elif isinstance(error, BadInput):
                yield from map(self._put_alone, items)  # to find out which of them is invalid
                return
            else:
                raise error

    def _send_once(self, items: list[Item]) -> tuple[list[Outcome], LookalikeError | None]:
        """The outcomes of a batch, and the error that stopped it."""
        unreadable: list[Outcome] = []

        def lines() -> Iterator[bytes]:
            unreadable.clear()  # this is another attempt
            for item in items:
                line = self._line(item)
                if isinstance(line, Outcome):
                    unreadable.append(line)
                else:
                    yield line

        request = Request(
            "POST",
            "/v1/images:batch",
            headers=self._headers,
            params=self._params,
            body=lambda: {"content": lines()},
        )
        try:
            response = self._transport.send(request)
        except BadInput as error:
            return unreadable, error
        outcomes, failure = self._parse(response, items)
        return unreadable + outcomes, failure

    def _parse(self, response: httpx.Response, items: list[Item]) -> tuple[list[Outcome], LookalikeError | None]:
        """The outcomes in a response, and the error of its last line, if it has one."""
        paths: dict[str, deque[str | None]] = {}
        for item in items:
            paths.setdefault(item.key, deque()).append(item.path)
        outcomes: list[Outcome] = []
        for line in response.content.splitlines():
            value = self._transport.parse_object(line, response)
            if "error" in value:
                problem = parse(Problem, value["error"])
                return outcomes, error_of(problem.status, to_dict(problem))
            outcome = parse(OutcomeObject, value)
            path = paths[outcome.key].popleft() if paths.get(outcome.key) else None
            outcomes.append(outcome_of(outcome, path))
        return outcomes, None

    def _line(self, item: Item) -> bytes | Outcome:
        try:
            data = bytes_of(item.source, self._limits)
        except ImageRejected as error:
            return rejected(item, error)
        line: dict[str, Any] = {"key": item.key, "image": {"base64": base64.b64encode(data).decode()}}
        if item.attributes is not None:
            line["attributes"] = dict(item.attributes)
        return json.dumps(line).encode() + b"\n"

    def _put_alone(self, item: Item) -> Outcome:
        try:
            return self._put(item)
        except BadInput as error:
            return rejected(item, error)


def rejected(item: Item, error: BadInput) -> Outcome:
    """The outcome of an invalid item."""
    reason = f"{error.reason}: {error}" if isinstance(error, ImageRejected) else str(error)
    return Outcome(item.key, item.path, "rejected", reason)


def _take(keys: deque[str], key: str) -> bool:
    """Remove a key once; whether it was there."""
    if key in keys:
        keys.remove(key)
        return True
    return False


def _size(item: Item | Outcome) -> int:
    """Bytes that an item will take; 0 for a file that is gone, which is reported when it is read."""
    if isinstance(item, Outcome):
        return 0
    if isinstance(item.source, bytes):
        return len(item.source)
    if not isinstance(item.source, str | Path):
        return 0
    try:
        return Path(item.source).stat().st_size
    except OSError:
        return 0
