"""Pieces of PromQL that the dashboards share.

A dashboard chooses by `$namespace` and `$instance`, and `$instance` follows from `$deployment`: only
`aftershock_build_info` carries the deployment's name, so that no series is longer for it.
"""

from __future__ import annotations

OWN = 'namespace=~"$namespace",instance=~"$instance"'
"""Matchers of the chosen deployments' own metrics."""
SERVER = 'job=~"$server"'
"""Matchers of the metrics of the servers under test."""

COUNTED = 'outcome!="lost"'
"""What nobody saw is neither good nor bad."""
HURT = 'outcome=~"failed|truncated|slow"'
FAILED = 'outcome=~"failed|truncated"'

NOW = "1m"
"""Window of what is true now: four scrapes at the usual 15 s."""
RATE = "$__rate_interval"
WEEK = "7d"


def own(metric: str, *matchers: str) -> str:
    """A metric of aftershock, without its prefix, of the chosen deployments."""
    return f"aftershock_{metric}{{{','.join((*matchers, OWN))}}}"


def server(metric: str, *matchers: str) -> str:
    """A metric of the servers under test."""
    return f"{metric}{{{','.join((*matchers, SERVER))}}}"


def rate(selector: str, window: str = RATE) -> str:
    return f"rate({selector}[{window}])"


def grown(selector: str, window: str) -> str:
    """How much a counter grew."""
    return f"increase({selector}[{window}])"


def total(expression: str, *labels: str) -> str:
    """A sum, by some labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"sum{by} ({expression})"


def by_deployment(expression: str, window: str = NOW) -> str:
    """A sum by deployment. The expression must still have `job` and `instance`.

    The name is looked up over the whole window: an address that is gone by now belonged to the deployment as well.
    """
    names = f"max by (job, instance, deployment) (last_over_time({own('build_info')}[{window}]))"
    return (
        f"sum by (deployment) (sum by (job, instance) ({expression}) "
        f"* on (job, instance) group_left (deployment) {names})"
    )


def ratio(part: str, whole: str) -> str:
    """A share; nothing at all where the whole is zero, for no requests are no success."""
    return f"{part} / ({whole} > 0)"


def quantile(q: float, histogram: str, *labels: str, window: str = RATE) -> str:
    """A quantile of a histogram's increase, given the selector of its buckets."""
    by = ", ".join(("le", *labels))
    return f"histogram_quantile({q:g}, sum by ({by}) (rate({histogram}[{window}])))"


def mean(name: str, window: str, *labels: str, matchers: tuple[str, ...] = ()) -> str:
    """The mean of one of our histograms over a window; nothing where nothing was observed."""
    summed = total(grown(own(f"{name}_sum", *matchers), window), *labels)
    counted = total(grown(own(f"{name}_count", *matchers), window), *labels)
    return f"{summed} / ({counted} > 0)"


def or_zero(expression: str, alive: str) -> str:
    """Zero where the expression has no series though its source is scraped: absent is zero only then."""
    return f"{expression} or (0 * {alive})"
