"""Prometheus metrics."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram buckets, in seconds."""
NO_ROUTE = "(none)"
"""Route label of requests without a route: their paths would create a time series each."""
Values = Callable[[], Mapping[str, float] | Mapping[tuple[str, ...], float] | float]
"""Computes a gauge's values by label value, by several of them, or its value if it has no label."""


class Metrics:
    """The metrics of one application; thread-safe."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "lookalike_requests", "Completed requests.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "lookalike_request_seconds", "Request duration.", ("method", "route"), registry=registry, buckets=BUCKETS
        )
        self._stages = Histogram(
            "lookalike_stage_seconds", "Duration by stage of a search.", ("stage",), registry=registry, buckets=BUCKETS
        )
        self._rejected = Counter(
            "lookalike_rejected", "Rejected images and requests, by reason.", ("reason",), registry=registry
        )
        self._outcomes = Counter(
            "lookalike_images_written", "Written images, by outcome.", ("outcome",), registry=registry
        )
        self.received = Counter("lookalike_received_bytes", "Bytes of request bodies.", registry=registry)
        self.sent = Counter("lookalike_sent_bytes", "Bytes of responses.", registry=registry)
        self.in_flight = Gauge("lookalike_under_way", "Requests in progress.", registry=registry)
        ProcessCollector(registry=registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record a completed request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def observe_stages(self, took_ms: Mapping[str, float]) -> None:
        """Record the stage durations of a search."""
        for stage, ms in took_ms.items():
            self._stages.labels(stage).observe(ms / 1000)

    def count_rejection(self, reason: str) -> None:
        """Count a rejected image or request."""
        self._rejected.labels(reason).inc()

    def count_write(self, outcome: str) -> None:
        """Count a written image."""
        self._outcomes.labels(outcome).inc()

    def register_gauge(self, name: str, description: str, values: Values, *labels: str) -> None:
        """Register a gauge whose values are computed at each scrape."""
        self.registry.register(_GaugeCollector(name, description, values, labels))

    def text(self) -> bytes:
        """All metrics in the Prometheus text format; reads the catalog, so it must not run on the event loop."""
        return generate_latest(self.registry)


@dataclass(frozen=True, slots=True)
class _GaugeCollector(Collector):
    name: str
    description: str
    values: Values
    labels: tuple[str, ...]

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(self.name, self.description)]

    def collect(self) -> Iterable[Metric]:
        values = self.values()
        if not isinstance(values, Mapping):
            return [GaugeMetricFamily(self.name, self.description, value=float(values))]
        family = GaugeMetricFamily(self.name, self.description, labels=self.labels)
        for label_value, value in values.items():
            family.add_metric([label_value] if isinstance(label_value, str) else list(label_value), float(value))
        return [family]
