"""What the service counts, in the form that Prometheus reads."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histograms' buckets."""
NO_ROUTE = "(none)"
"""The route of requests that met none: their paths would make one time series each."""


class Metrics:
    """Counters of one service. Safe to use from several threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "lookalike_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "lookalike_request_seconds", "Time to answer.", ("method", "route"), registry=self.registry, buckets=BUCKETS
        )
        self._stages = Histogram(
            "lookalike_stage_seconds", "Time by stage of a search.", ("stage",), registry=self.registry, buckets=BUCKETS
        )
        self._rejected = Counter(
            "lookalike_rejected", "Images and requests refused, by reason.", ("reason",), registry=self.registry
        )
        self._outcomes = Counter(
            "lookalike_images_written", "Images that came in, by outcome.", ("outcome",), registry=self.registry
        )
        self.received = Counter("lookalike_received_bytes", "Bytes of request bodies.", registry=self.registry)
        self.sent = Counter("lookalike_sent_bytes", "Bytes of answers.", registry=self.registry)
        self.in_flight = Gauge("lookalike_under_way", "Requests under way.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def observe_stages(self, took_ms: Mapping[str, float]) -> None:
        """Count the stages of a search."""
        for stage, ms in took_ms.items():
            self._stages.labels(stage).observe(ms / 1000)

    def count_rejection(self, reason: str) -> None:
        """Count a refusal."""
        self._rejected.labels(reason).inc()

    def count_write(self, outcome: str) -> None:
        """Count an image that came in."""
        self._outcomes.labels(outcome).inc()

    def register_gauge(self, name: str, what: str, value: "GaugeSource") -> None:
        """Have a value asked for at each reading."""
        self.registry.register(_GaugeCollector(name, what, value))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format; may ask the catalog, so not for the event loop."""
        return generate_latest(self.registry)


class GaugeSource(ABC):
    """A value, or values by one label, worked out when asked for."""

    label: str | None = None

    @abstractmethod
    def values(self) -> Mapping[str, float]:
        """The values by their label's value; by "" where there is no label."""


class _GaugeCollector(Collector):
    def __init__(self, name: str, what: str, value: GaugeSource) -> None:
        self._name = name
        self._what = what
        self._value = value

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(self._name, self._what)]

    def collect(self) -> Iterable[Metric]:
        label = self._value.label
        family = GaugeMetricFamily(self._name, self._what, labels=[label] if label else [])
        for name, value in self._value.values().items():
            family.add_metric([name] if label else [], value)
        return [family]
