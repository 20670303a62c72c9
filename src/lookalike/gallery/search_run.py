"""The queries of one search, read and answered in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.gallery.feature_queries import read_features
from lookalike.gallery.index_sync import OpenPipeline, ensure_fresh
from lookalike.gallery.presence import FilePresence
from lookalike.gallery.probabilities import CalibrationReader
from lookalike.gallery.queries import QUERY_BATCH, PreparedQuery, QueryReader, kind_of
from lookalike.gallery.recall_meter import RecallMeter
from lookalike.gallery.search import Searcher, SearchRequest, StageTimer
from lookalike.gallery.verification import CandidateVerifier
from lookalike.results import Failure, Query, SearchOptions
from lookalike.types import Answer


@dataclass(frozen=True, slots=True)
class SearchRun:
    """Answers the queries of one search in their order.

    `known` are the names of the gallery's pipelines, `opened` those that are searched, `windowed` those of windows of
    stored images; `options` are the caller's.
    """

    catalog: Catalog
    verifier: CandidateVerifier
    calibrations: CalibrationReader
    recall_meter: RecallMeter | None
    known: Sequence[str]
    opened: Sequence[OpenPipeline]
    windowed: Sequence[OpenPipeline]
    reader: QueryReader
    options: SearchOptions

    def answers(self, queries: Iterable[Query], request: SearchRequest) -> Iterator[tuple[Query, Answer | Failure]]:
        """Yield each query with its answer or error; runs of images, stored images and features are batched apart."""
        for kind, run in groupby(queries, kind_of):
            if isinstance(kind, tuple):
                yield from self._answer_features(run, kind, request)
                continue
            read = (self.reader.read_stored if kind == "stored" else self.reader.read_images)(run)
            yield from self._answer_run(read, self.opened, request)

    def _answer_features(
        self,
        queries: Iterable[Query],
        names: tuple[str, ...],
        request: SearchRequest,
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Answer queries by features of these pipelines; there are no pixels to compare."""
        chosen = [o for o in self.opened if o.pipeline.name in names]
        pipelines, max_false = [o.pipeline for o in chosen], self.options.get("max_false")
        probabilities = self.calibrations.probabilities(request.tenant, pipelines, max_false, verify=False)
        request = replace(request, verify=False, probabilities=probabilities)
        read = read_features(queries, pipelines, self.known, self.options.get("pipelines") or ())
        if request.deep is True:
            reason = "deep searches with parts of an image, and the query has features only; leave it out"
            read = ((query, UnsupportedQuery(reason)) for query in queries)
        yield from self._answer_run(read, chosen, request)

    def _answer_run(
        self,
        read: Iterator[tuple[Query, PreparedQuery | Failure]],
        opened: Sequence[OpenPipeline],
        request: SearchRequest,
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        pipelines = [o.pipeline for o in opened]
        windowed = self.windowed if request.verify else ()
        searcher = Searcher(
            self.catalog,
            pipelines,
            self.verifier,
            self.reader,
            recall_meter=self.recall_meter,
            windowed=[o.pipeline for o in windowed],
        )
        first = "decode"
        stages = StageTimer()
        while batch := list(islice(read, QUERY_BATCH)):
            prepared = [result for _, result in batch if isinstance(result, PreparedQuery)]
            if prepared and prepared[0].rows is not None:
                first = "look_up"
            stages.mark(first)
            sequence = ensure_fresh([*opened, *windowed], self.options.get("min_sequence")) if prepared else 0
            stages.mark("follow")
            found = searcher.answer(prepared, request, sequence, stages) if prepared else []
            presence = FilePresence(lambda: self.catalog.roots.of_tenant(None))
            answers = map(presence.mark_answer, found)
            for query, result in batch:
                yield query, next(answers) if isinstance(result, PreparedQuery) else result
            stages = StageTimer()
