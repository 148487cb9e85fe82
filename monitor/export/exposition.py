"""Histograms that exist before their first observation.

OpenTelemetry has no way to begin a histogram at zero, and a series that appears with its first
observation hides that observation from `rate()`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as Family

from monitor.export.exemplars import Exemplars
from monitor.export.metric_names import MetricSpec


class ZeroedCollector(CollectorRegistry):
    """A registry as seen from outside: all of `inner` with exemplars, and zeros for the label sets that are still missing."""

    def __init__(
        self,
        inner: CollectorRegistry,
        zeros: Mapping[MetricSpec, Sequence[Mapping[str, str]]],
        exemplars: Exemplars,
    ) -> None:
        super().__init__(auto_describe=False)
        self._inner = inner
        self._exemplars = exemplars
        self._zeros = {metric.name: (metric, labels) for metric, labels in zeros.items()}

    def collect(self) -> Iterator[Family]:
        missing = dict(self._zeros)
        for family in self._inner.collect():
            wanted = missing.pop(family.name, None)
            if wanted is not None and isinstance(family, HistogramMetricFamily):
                _fill(family, *wanted)
            self._exemplars.attach(family)
            yield family
        for metric, labels in missing.values():
            family = HistogramMetricFamily(metric.name, metric.help, labels=sorted(metric.labels), unit="seconds")
            _fill(family, metric, labels)
            yield family


def _fill(family: HistogramMetricFamily, metric: MetricSpec, label_sets: Sequence[Mapping[str, str]]) -> None:
    keys = sorted(metric.labels)
    seen = {tuple(s.labels.get(k, "") for k in keys) for s in family.samples}
    buckets = [(f"{bound}", 0.0) for bound in metric.buckets]
    for labels in label_sets:
        values = [labels[k] for k in keys]
        if tuple(values) not in seen:
            family.add_metric(values, [*buckets, ("+Inf", 0.0)], 0.0)
