"""Encoding the images of several threads in one call, for which a network takes less time than for one each."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from lookalike.errors import BadSetting, Unavailable
from lookalike.interfaces import Encoder
from lookalike.types import Encoded, EncodedViews, FeatureSpec, InputSpec, Pixels

PATIENCE_MS = 3.0
"""How long a call waits for others, where the call before it had company."""
MOST = 32
"""Images in one call; a larger request goes alone."""
LONGEST_WAIT = 300.0
"""Seconds after which a thread gives up on the call that carries its images."""

Result = TypeVar("Result", Encoded, EncodedViews)


@dataclass(slots=True, eq=False)
class _Asked(Generic[Result]):
    """One thread's images, and what became of them."""

    images: Pixels
    done: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    result: Result | None = None
    error: BaseException | None = None


class _Merger(Generic[Result]):
    """Merges calls of one function. One of the waiting threads leads: it calls for all, then the next one leads."""

    def __init__(
        self,
        call: Callable[[Pixels], Result],
        cut: Callable[[Result, int, int], Result],
        patience: float,
        most: int,
    ) -> None:
        self._call: Callable[[Pixels], Result] = call
        self._cut: Callable[[Result, int, int], Result] = cut
        self._patience = patience
        self._most = most
        self._lock = threading.Lock()
        self._came = threading.Condition(self._lock)
        self._waiting: list[_Asked[Result]] = []
        self._led = False
        self._company = 1  # requests in the last call: where they were several, they will be again
        self._closed = False

    def run(self, images: Pixels) -> Result:
        """The result for these images; raises what the call raises for them, whoever else was in it."""
        asked: _Asked[Result] = _Asked(images)
        with self._lock:
            if self._closed:
                raise Unavailable("the encoder is closed: the service is stopping")
            self._waiting.append(asked)
            leads = not self._led
            if leads:
                self._led = True
            elif self._enough():
                self._came.notify_all()
        if leads or self._waited(asked):
            self._lead(asked)
        if asked.error is not None:
            raise asked.error
        assert asked.result is not None
        return asked.result

    def close(self) -> None:
        """Refuse further calls; those under way are answered."""
        with self._lock:
            self._closed = True
            self._came.notify_all()

    def _waited(self, asked: _Asked[Result]) -> bool:
        """Wait until somebody has called for this thread, or it is its turn to lead (True)."""
        if not asked.done.wait(LONGEST_WAIT):
            with self._lock:
                if not asked.leads:
                    self._waiting = [a for a in self._waiting if a is not asked]
                    raise Unavailable(f"no encoder was free within {LONGEST_WAIT:g} seconds; try again later")
        return asked.leads

    def _lead(self, own: _Asked[Result]) -> None:
        """Call for the threads that wait, `own` among them, and hand the lead to the next."""
        with self._lock:
            if self._company > 1 and not self._enough():
                self._came.wait_for(lambda: self._closed or self._enough(), self._patience)
            batch = self._take(own)
            self._company = len(batch)
        try:
            self._answer(batch)
        finally:
            with self._lock:
                self._led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].done.set()
            for asked in batch:
                asked.done.set()

    def _enough(self) -> bool:
        """Whether as many wait as were in the last call, or as one call takes."""
        return len(self._waiting) >= self._company or sum(len(a.images) for a in self._waiting) >= self._most

    def _take(self, own: _Asked[Result]) -> list[_Asked[Result]]:
        """Those of the next call, in the order in which they came, `own` always among them."""
        batch, size = [own], len(own.images)
        for asked in self._waiting:
            if asked is not own and size + len(asked.images) <= self._most:
                batch.append(asked)
                size += len(asked.images)
        self._waiting = [asked for asked in self._waiting if asked not in batch]  # by identity
        return batch

    def _answer(self, batch: Sequence[_Asked[Result]]) -> None:
        """Call once for all; where that fails, once for each, so that an error reaches only whom it concerns."""
        if len(batch) > 1 and len({a.images.shape[1:] for a in batch}) == 1:
            try:
                whole = self._call(np.concatenate([a.images for a in batch]))
            except Exception:  # noqa: BLE001 - each one's own call below raises it again for the one it belongs to
                whole = None
            if whole is not None:
                at = 0
                for asked in batch:
                    asked.result = self._cut(whole, at, at + len(asked.images))
                    at += len(asked.images)
                return
        for asked in batch:
            try:
                asked.result = self._call(asked.images)
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that it belongs to
                asked.error = error


class BatchingEncoder:
    """An encoder that merges calls of several threads into one. Safe to call from several threads.

    A lone caller goes straight through. Calls that come while another is under way go together in the next one, which
    waits up to `patience_ms` for as many as the last one had; never more than `most` images. It has no thread of its
    own: of those that wait, one calls for all.
    """

    def __init__(self, encoder: Encoder, *, patience_ms: float = PATIENCE_MS, most: int = MOST) -> None:
        if patience_ms < 0 or most < 1:
            raise BadSetting(f"patience is 0 ms or more and a batch 1 image or more, not {patience_ms} and {most}")
        self._encoder = encoder
        self._rows: _Merger[Encoded] = _Merger(encoder.encode, _cut_rows, patience_ms / 1000, most)
        self._views: _Merger[EncodedViews] = _Merger(encoder.encode_views, _cut_views, patience_ms / 1000, most)

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._encoder.spec

    @property
    def input(self) -> InputSpec:
        """The image it wants."""
        return self._encoder.input

    def encode(self, images: Pixels) -> Encoded:
        """Encode a batch together with those of other threads."""
        return self._rows.run(images)

    def encode_views(self, images: Pixels) -> EncodedViews:
        """Encode a batch of queries together with those of other threads."""
        return self._views.run(images)

    def close(self) -> None:
        """Refuse further calls; those under way are answered. Closing twice is harmless."""
        self._rows.close()
        self._views.close()


def _cut_rows(whole: Encoded, start: int, end: int) -> Encoded:
    return Encoded(whole.features[start:end], whole.quality[start:end], whole.usable[start:end])


def _cut_views(whole: EncodedViews, start: int, end: int) -> EncodedViews:
    return EncodedViews(whole.features[start:end], whole.usable[start:end])
