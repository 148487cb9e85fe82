"""The server witness: what the deployment's own counters say about a run, through Prometheus.

It never raises: whatever goes wrong becomes `inconclusive` with one line. Missing data is never good
news: a target that was not scraped, counters that began again, no traffic counted, each makes it
inconclusive, and what was seen is reported all the same. What it cannot know stays None.
Definitions: `monitor.measure.server_window`, `monitor.measure.increments`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from monitor.config.settings import PrometheusSpec
from monitor.measure.generic import GENERIC, check_apart, in_role, selectors
from monitor.measure.increments import targets_of
from monitor.measure.presets import PRESETS
from monitor.measure.prometheus import PrometheusSource, PrometheusTrouble, Series, Trouble
from monitor.measure.server_figures import with_figures
from monitor.measure.server_report import judge_counts
from monitor.measure.times import RunTimes, nanoseconds
from monitor.model import Verdict, WitnessReport

BASELINE_SCRAPES = 4
"""A baseline covers at least this many scrapes, however short it is set."""


class ServerWitness:
    """Asks the configured Prometheus about a run. Run times must be on the system clock, as samples are."""

    def __init__(
        self,
        spec: PrometheusSpec,
        *,
        baseline_seconds: float = 30.0,
        on_trouble: Callable[[Trouble], None] = lambda _kind: None,
    ) -> None:
        self._spec = spec
        self._preset = GENERIC if spec.preset == "generic" else PRESETS[spec.preset]
        self._source = PrometheusSource(spec.url, spec.timeout_seconds)
        self._baseline_ns = nanoseconds(max(baseline_seconds, BASELINE_SCRAPES * spec.scrape_interval_seconds))
        self._on_trouble = on_trouble

    async def up(self) -> tuple[bool, str]:
        """Whether Prometheus answers, and why not."""
        try:
            await self._source.check()
        except PrometheusTrouble as trouble:
            self._on_trouble(trouble.kind)
            return False, str(trouble)
        return True, ""

    async def measure(self, times: RunTimes) -> WitnessReport:
        """The server witness's report; takes at most three query timeouts."""
        begin = times.t_inject - self._baseline_ns
        try:
            series, up = await self._fetch(
                begin - nanoseconds(2 * self._spec.scrape_interval_seconds), times.observed_until
            )
        except PrometheusTrouble as trouble:
            self._on_trouble(trouble.kind)
            return _inconclusive(str(trouble))
        targets = [t for t in targets_of(series, up, self._preset) if len(t.grid)]
        if not targets:
            return _inconclusive(
                f"no samples of {self._wanted}: is the deployment scraped, and has it served a request?"
            )
        if any(t.unknown for t in targets):
            self._on_trouble(Trouble.NOT_A_NUMBER)
        report = judge_counts(targets, begin, times, self._spec, self._preset)
        return with_figures(report, series, up, begin=begin, times=times, spec=self._spec, preset=self._preset)

    async def _fetch(self, begin: int, end: int) -> tuple[list[Series], list[Series]]:
        series = await (self._by_query(begin, end) if self._spec.queries else self._by_name(begin, end))
        targets = {s.target for s in series if s.target != ("", "")}
        if not targets:
            return series, []
        jobs, instances = (_any_of(part) for part in zip(*targets, strict=True))
        return series, await self._source.samples(f"up{{job=~{jobs}, instance=~{instances}}}", begin, end)

    async def _by_name(self, begin: int, end: int) -> list[Series]:
        names = "|".join(self._preset.names)
        more = f", {self._spec.selector}" if self._spec.selector else ""
        setting = "prometheus.selector" if more else ""
        return await self._ask(setting, f'{{__name__=~"{names}"{more}}}', begin, end)

    async def _by_query(self, begin: int, end: int) -> list[Series]:
        """One question for each query; all together may take two timeouts."""
        found: list[Series] = []
        limit = 2 * self._spec.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                for role, selector in selectors(self._spec.queries) if self._spec.queries else ():
                    answer = await self._ask(f"prometheus.queries.{role}", selector, begin, end)
                    found += in_role(role, answer)
        except TimeoutError:
            text = f"{self._source.shown_url} did not answer all queries within {limit:g} s"
            raise PrometheusTrouble(text, Trouble.TIMEOUT) from None
        check_apart(found)
        return found

    async def _ask(self, setting: str, selector: str, begin: int, end: int) -> list[Series]:
        """Samples; what Prometheus says against the question names the setting that it came from."""
        try:
            return await self._source.samples(selector, begin, end)
        except PrometheusTrouble as trouble:
            if trouble.kind is not Trouble.BAD_QUERY or not setting:
                raise
            raise PrometheusTrouble(f"{setting}: {trouble}", trouble.kind) from None

    @property
    def _wanted(self) -> str:
        if self._spec.queries is not None:
            return f"{self._spec.queries.good_requests} or {self._spec.queries.bad_requests}"
        return " or ".join(self._preset.finished.names)


def _inconclusive(reason: str) -> WitnessReport:
    return WitnessReport(witness="server", status="inconclusive", verdict=Verdict.INCONCLUSIVE, reason=reason)


def _any_of(values: Sequence[str]) -> str:
    """A PromQL string with a regular expression that matches exactly these values."""
    pattern = "|".join(re.escape(v) for v in sorted(set(values)))
    return '"' + pattern.replace("\\", "\\\\").replace('"', '\\"') + '"'
