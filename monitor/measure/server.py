"""The server witness: what the deployment's own counters say about a run, through Prometheus.

It never raises: whatever goes wrong becomes `inconclusive` with one line. Missing data is never good
news: a target that was not scraped, counters that began again, no traffic counted, each makes it
inconclusive, and what was seen is reported all the same. What it cannot know stays None.
Definitions: `monitor.measure.server_window`, `monitor.measure.increments`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from monitor.config.settings import PrometheusSpec
from monitor.measure.increments import targets_of
from monitor.measure.presets import PRESETS
from monitor.measure.prometheus import PrometheusSource, PrometheusTrouble, Series
from monitor.measure.server_report import judge_counts
from monitor.measure.times import RunTimes, nanoseconds
from monitor.model import Verdict, WitnessReport

BASELINE_SCRAPES = 4
"""A baseline covers at least this many scrapes, however short it is set."""


class ServerWitness:
    """Asks the configured Prometheus about a run. Run times must be on the system clock, as samples are."""

    def __init__(self, spec: PrometheusSpec, *, baseline_seconds: float = 30.0) -> None:
        self._spec = spec
        self._preset = PRESETS[spec.preset]
        self._source = PrometheusSource(spec.url, spec.timeout_seconds)
        self._baseline_ns = nanoseconds(max(baseline_seconds, BASELINE_SCRAPES * spec.scrape_interval_seconds))

    async def up(self) -> tuple[bool, str]:
        """Whether Prometheus answers, and why not."""
        try:
            await self._source.check()
        except PrometheusTrouble as trouble:
            return False, str(trouble)
        return True, ""

    async def measure(self, times: RunTimes) -> WitnessReport:
        """The server witness's report; takes at most two query timeouts."""
        begin = times.t_inject - self._baseline_ns
        try:
            series, up = await self._fetch(
                begin - nanoseconds(2 * self._spec.scrape_interval_seconds), times.observed_until
            )
        except PrometheusTrouble as trouble:
            return _inconclusive(str(trouble))
        targets = [t for t in targets_of(series, up, self._preset) if len(t.grid)]
        if not targets:
            names = " or ".join(self._preset.finished.names)
            return _inconclusive(f"no samples of {names}: is the deployment scraped, and has it served a request?")
        return judge_counts(targets, begin, times, self._spec, self._preset)

    async def _fetch(self, begin: int, end: int) -> tuple[list[Series], list[Series]]:
        names = "|".join(self._preset.names)
        more = f", {self._spec.selector}" if self._spec.selector else ""
        series = await self._source.samples(f'{{__name__=~"{names}"{more}}}', begin, end)
        targets = {s.target for s in series if s.target != ("", "")}
        if not targets:
            return series, []
        jobs, instances = (_any_of(part) for part in zip(*targets, strict=True))
        return series, await self._source.samples(f"up{{job=~{jobs}, instance=~{instances}}}", begin, end)


def _inconclusive(reason: str) -> WitnessReport:
    return WitnessReport(witness="server", status="inconclusive", verdict=Verdict.INCONCLUSIVE, reason=reason)


def _any_of(values: Sequence[str]) -> str:
    """A PromQL string with a regular expression that matches exactly these values."""
    pattern = "|".join(re.escape(v) for v in sorted(set(values)))
    return '"' + pattern.replace("\\", "\\\\").replace('"', '\\"') + '"'
