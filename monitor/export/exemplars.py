"""Exemplars: from a metric to the trace of a request that it counted. OpenMetrics only; Prometheus keeps them in memory.

A failed request's trace id goes with its outcome and error class, an answered one's with its duration's bucket. The newest
of each is shown until the next one comes; Prometheus takes each once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from uuid import UUID

from prometheus_client.core import Exemplar
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from monitor.export.metric_names import DURATION_BUCKETS, PROBE_DURATION, PROBE_REQUESTS
from probes.plugin.trace import sampled
from probes.record import BAD, Outcome, Record

LABEL = "trace_id"
"""Grafana's usual name; the data source's `exemplarTraceIdDestinations` refers to it."""
_REQUESTS = PROBE_REQUESTS.name.removesuffix("_total")
_BUCKET = f"{PROBE_DURATION.name}_bucket"

Key = tuple[str, ...]


class Exemplars:
    """`ratios` is the share of each probe's requests whose trace is asked for; a probe that is not in it has none."""

    def __init__(self, ratios: Mapping[str, float]) -> None:
        self._ratios = ratios
        self._newest: dict[Key, Exemplar] = {}

    def saw(self, record: Record) -> None:
        """A request ended. Cheap; safe from any thread."""
        trace_id = self._trace_id(record)
        if trace_id is None:
            return
        life = max(0, record.end_ns - record.start_ns) / 1e9
        exemplar = Exemplar({LABEL: trace_id}, life, record.end_ns / 1e9)
        if record.outcome in BAD:
            self._newest[record.probe, record.outcome.value, record.error.value] = exemplar
        if record.outcome in {Outcome.GOOD, Outcome.SLOW}:
            at = bisect_left(DURATION_BUCKETS, life)
            bound = float(DURATION_BUCKETS[at]) if at < len(DURATION_BUCKETS) else float("inf")
            self._newest[record.probe, str(bound)] = exemplar

    def attach(self, family: Family) -> None:
        """Give the family's samples theirs."""
        if family.name == _REQUESTS:
            family.samples = [self._of_outcome(s) for s in family.samples]
        elif family.name == PROBE_DURATION.name:
            family.samples = [self._of_bucket(s) if s.name == _BUCKET else s for s in family.samples]

    def _trace_id(self, record: Record) -> str | None:
        try:
            request_id = UUID(record.request_id)
        except ValueError:
            return None
        return request_id.hex if sampled(request_id, self._ratios.get(record.probe, 0.0)) else None

    def _of_outcome(self, sample: Sample) -> Sample:
        labels = sample.labels
        return sample._replace(exemplar=self._newest.get((labels["probe"], labels["outcome"], labels["error"])))

    def _of_bucket(self, sample: Sample) -> Sample:
        return sample._replace(exemplar=self._newest.get((sample.labels["probe"], str(float(sample.labels["le"])))))
