"""What `/metrics` tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from backend.predictor import TaskOutcome
from backend.result_cache import CacheCounts
from backend.training import TrainingDesk
from backend.tuned.reader import TunedReader

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100)


class Metrics:
    """Counters of one server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = Counter(
            "labelvino_tasks", "Tasks by outcome.", ["outcome"], registry=self.registry
        )
        self._regions = Counter("labelvino_regions", "Regions sent.", registry=self.registry)
        self._seconds = Histogram(
            "labelvino_request_seconds",
            "Time to answer, by path.",
            ["path", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._model = Gauge(
            "labelvino_model_info",
            "The model that is served.",
            ["name", "digest", "device", "precision"],
            registry=self.registry,
        )
        self._reloads = Counter(
            "labelvino_model_reloads",
            "Models loaded while serving, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("ok", "failed"):
            self._reloads.labels(outcome)
        for outcome in ("predicted", "empty", "failed", "not_reached"):
            self._tasks.labels(outcome)

    def cache(self, counts: CacheCounts) -> None:
        """Show what came of asking the result cache; the counts may outlive a model."""
        self.registry.register(_CacheCollector(counts))

    def tuned(self, reader: TunedReader, model_digest: Callable[[], str]) -> None:
        """Show which projects have tuned thresholds in force, with the model that serves now."""
        self.registry.register(_TunedCollector(reader, model_digest))

    def training(self, desk: TrainingDesk) -> None:
        """Show what came of Start Training, and which events came."""
        self.registry.register(_TrainingCollector(desk))

    def model(self, name: str, digest: str, device: str, precision: str) -> None:
        """Say which model is served, where, and in which precision."""
        self._model.clear()
        self._model.labels(name, digest, device, precision).set(1)

    def reload(self, outcome: Literal["ok", "failed"]) -> None:
        """Count a model that was loaded while serving."""
        self._reloads.labels(outcome).inc()

    def outcomes(self, outcomes: list[TaskOutcome]) -> None:
        """Count what came of a request's tasks."""
        for outcome in outcomes:
            if outcome.prediction is None:
                self._tasks.labels("failed" if outcome.reached else "not_reached").inc()
            else:
                regions = len(outcome.prediction.result)
                self._tasks.labels("predicted" if regions else "empty").inc()
                self._regions.inc(regions)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._seconds.labels(path, str(status)).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _TunedCollector(Collector):
    """Projects that were asked for lately, and have tuned thresholds."""

    def __init__(self, reader: TunedReader, model_digest: Callable[[], str]) -> None:
        self._reader = reader
        self._model_digest = model_digest

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "labelvino_tuned_labels",
            "Labels with tuned thresholds in force, by project.",
            labels=["project"],
        )
        for project, labels in sorted(self._reader.in_force(self._model_digest()).items()):
            family.add_metric([project], labels)
        yield family


class _TrainingCollector(Collector):
    """Trainings by outcome, and webhook events by action."""

    def __init__(self, desk: TrainingDesk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[CounterMetricFamily]:
        outcomes, events = self._desk.counts()
        trainings = CounterMetricFamily(
            "labelvino_trainings", "Start Training, by outcome.", labels=["outcome"]
        )
        for outcome, count in sorted(outcomes.items()):
            trainings.add_metric([outcome], count)
        heard = CounterMetricFamily(
            "labelvino_webhook_events", "Events of Label Studio, by action.", labels=["action"]
        )
        for action, count in sorted(events.items()):
            heard.add_metric([action], count)
        yield trainings
        yield heard


class _CacheCollector(Collector):
    """Hits, misses and errors of the result cache; the hit rate is hit / (hit + miss)."""

    def __init__(self, counts: CacheCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(
            "labelvino_cache",
            "Asked of the result cache, by store and outcome (hit, miss, error).",
            labels=["store", "outcome"],
        )
        for (store, outcome), count in sorted(self._counts.snapshot().items()):
            family.add_metric([store, outcome], count)
        yield family
