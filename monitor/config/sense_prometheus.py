"""Whether the parts of the prometheus section fit together."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.config.problem import Finding
from monitor.config.settings import PrometheusSpec
from monitor.config.yamlfile import Location

PRESET: Location = ("prometheus", "preset")
QUERIES: Location = ("prometheus", "queries")


def prometheus_findings(spec: PrometheusSpec) -> Iterator[Finding]:
    """Mistakes that take more than one value of the section to be seen."""
    if spec.rate_window_seconds is not None and spec.rate_window_seconds < 2 * spec.scrape_interval_seconds:
        what = f"{spec.rate_window_seconds:g} s hold fewer than two scrapes, so rate() has no value"
        uses: tuple[Location, ...] = (("prometheus", "scrape_interval_seconds"),)
        yield Finding(
            ("prometheus", "rate_window_seconds"), what, f"at least {2 * spec.scrape_interval_seconds:g}", uses
        )
    if spec.preset == "generic":
        yield from _generic(spec)
    elif spec.queries is not None:
        what = f"is not used by the preset {spec.preset}, which has its own"
        yield Finding(QUERIES, what, "write preset: generic, or take queries out", (PRESET,))


def _generic(spec: PrometheusSpec) -> Iterator[Finding]:
    if spec.queries is None:
        yield Finding(
            QUERIES, "is missing, and the preset is generic", "give good_requests and bad_requests", (PRESET,)
        )
        return
    if spec.selector:
        what = "is not added to the queries of the generic preset"
        yield Finding(("prometheus", "selector"), what, "write the matchers into each query", (PRESET,))
    if spec.queries.good_requests.split() == spec.queries.bad_requests.split():
        at = (*QUERIES, "bad_requests")
        what = "is the same query as good_requests"
        yield Finding(at, what, "a label must tell good from bad", ((*QUERIES, "good_requests"),))
    for one, other in (("latency_sum", "latency_count"), ("latency_count", "latency_sum")):
        if getattr(spec.queries, one) is not None and getattr(spec.queries, other) is None:
            yield Finding((*QUERIES, one), f"is of no use without {other}", f"give {other} too", ((*QUERIES, other),))
