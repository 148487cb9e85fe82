"""The generic preset: a server that the configuration describes by PromQL selectors.

Each answer's series are given the name of the role that they were asked for, so that everything after
works on roles as it does on the metric names of a server that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from monitor.config.settings import QueriesSpec
from monitor.measure.presets import BAD, CALLER, GOOD, Beside, Counter, Finished, Preset
from monitor.measure.prometheus import PrometheusTrouble, Series, Trouble

ENDED = "aftershock_ended"
NAME = "aftershock_metric"
"""Labels that no server has: what a query stands for, and the name that a series had."""
_FINISHED = {"good_requests": GOOD, "bad_requests": BAD, "caller_requests": CALLER}

GENERIC = Preset(
    finished=Finished(names=("finished",), status=ENDED, good=GOOD, caller=CALLER, kind=ENDED),
    started=("started_requests",),
    latency=("latency",),
    beside=Beside(
        migrations=Counter(("migrations",)),
        cancellations=Counter(("cancellations",)),
        rejections=Counter(("rejections",)),
        tokens=Counter(("output_tokens",)),
        in_flight=("in_flight",),
        queue=("queue",),
        kv_cache=("kv_cache_use",),
        workers=("workers",),
    ),
)


def selectors(spec: QueriesSpec) -> Iterator[tuple[str, str]]:
    """Role and selector of every query that is given."""
    for role in QueriesSpec.model_fields:
        given: str | None = getattr(spec, role)
        if given is not None:
            yield role, given


def in_role(role: str, found: Sequence[Series]) -> list[Series]:
    """The series by the role that they were asked for; what they were called becomes a label."""
    ended = _FINISHED.get(role)
    more = {} if ended is None else {ENDED: ended}
    return [replace(s, name="finished" if ended else role, labels={**s.labels, NAME: s.name, **more}) for s in found]


def check_apart(series: Sequence[Series]) -> None:
    """Raises PrometheusTrouble when one series is asked for as two ways of ending: it would be counted twice."""
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for one in series:
        if one.name != "finished":
            continue
        key = frozenset((k, v) for k, v in one.labels.items() if k != ENDED)
        ended = one.labels[ENDED]
        other = seen.setdefault(key, ended)
        if other != ended:
            text = f"{one.labels[NAME]} of {one.target[1] or 'the server'} is counted as {other} and as {ended}"
            raise PrometheusTrouble(f"prometheus.queries: {text}; the selectors overlap", Trouble.BAD_QUERY)
