"""The tables of a run, as Markdown. Pure."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.accuracy.plan import KINDS
from tests.accuracy.result import Result, targets
from tests.accuracy.truth import Compared, plain_would_count


def tables(result: Result) -> str:
    """Markdown, as the README has it."""
    parts = [
        "The witness against the truth, by kind (windows: medians of the touched outages; edge error: measured minus true, in probe gaps):",
        _accuracy_table(result),
        "By request rate:",
        _rate_table(result),
        f"What others say of the same outages (median seconds; alert: {result.alert_source}):",
        _beside_table(result),
        f"The machine: {result.machine}.",
        "Targets:",
        *[f"- {'met' if t.met else 'MISSED'}: {t.what}: {t.figure}" for t in targets(result)],
    ]
    return "\n\n".join(parts[:7]) + "\n\n" + "\n".join(parts[7:]) + "\n"


def short_table(result: Result) -> str:
    """What a newcomer needs of both tables: the README's. Counts are of outages that harmed at least one request."""
    head = ["outage", "n", "true s", "aftershock s", "edges right", "failed", "aftershock", "aiperf"]
    head += ["readiness saw", "rate alert saw"]
    rows = [_short_row(k.name, [o for o in result.touched if o.kind == k.name]) for k in KINDS]
    return _markdown(head, [*rows, _short_row("all", result.touched)])


def _short_row(name: str, touched: Sequence[Compared]) -> list[str]:
    return [
        name,
        str(len(touched)),
        _median(o.true_seconds for o in touched),
        _median(o.measured_seconds for o in touched),
        str(sum(all(o.edges_met()) for o in touched)),
        str(sum(o.true_failed for o in touched)),
        str(sum(o.counted_failed for o in touched)),
        str(sum(plain_would_count(o.kind, o.true_failed) for o in touched)),
        str(sum(o.unready_seconds > 0 for o in touched)),
        str(sum(o.alert_seconds > 0 for o in touched)),
    ]


_COLUMNS = (
    *("n", "touched", "true s", "measured s", "impact p50/p99/max", "recovery p50/p99/max", "within"),
    *("failed true = counted", "slow true = counted", "in traces true = counted", "verdicts"),
)


def _accuracy_table(result: Result) -> str:
    rows = [_accuracy_row(k.name, [o for o in result.outages if o.kind == k.name]) for k in KINDS]
    return _markdown(["kind", *_COLUMNS], [*rows, _accuracy_row("all", result.outages)])


def _rate_table(result: Result) -> str:
    rates = sorted({o.rate for o in result.outages})
    rows = [_accuracy_row(f"{r:g}/s", [o for o in result.outages if o.rate == r]) for r in rates]
    return _markdown(["rate", *_COLUMNS], rows)


def _accuracy_row(name: str, all_of: Sequence[Compared]) -> list[str]:
    touched = [o for o in all_of if o.touched]
    within = sum(all(o.edges_met()) for o in touched)
    failed, slow = sum(o.true_failed for o in all_of), sum(o.true_slow for o in all_of)
    equal = sum(o.counts_equal for o in all_of)
    verdicts = Counter(o.verdict for o in all_of)
    return [
        name,
        str(len(all_of)),
        str(len(touched)),
        _median(o.true_seconds for o in touched),
        _median(o.measured_seconds for o in touched),
        _spread([o.edge_errors()[0] for o in touched]),
        _spread([o.edge_errors()[1] for o in touched]),
        f"{within}/{len(touched)}",
        f"{failed} = {sum(o.counted_failed for o in all_of)} in {equal}/{len(all_of)}",
        f"{slow} = {sum(o.counted_slow for o in all_of)}",
        f"{sum(o.trace_true[0] for o in all_of)} = {sum(o.trace_counted[0] for o in all_of)}",
        ", ".join(f"{n} {v}" for v, n in verdicts.most_common()),
    ]


def _beside_table(result: Result) -> str:
    head = [
        "kind",
        "true s",
        "witness s",
        "readiness s (seen)",
        "log gap s",
        "rate alert s (seen)",
        "failed, true",
        "witness",
        "plain aiperf by its rule",
        "plain aiperf beside: errors of harmed",
    ]
    rows = [_beside_row(k.name, [o for o in result.touched if o.kind == k.name]) for k in KINDS]
    return _markdown(head, [*rows, _beside_row("all", result.touched)])


def _beside_row(name: str, touched: Sequence[Compared]) -> list[str]:
    plain = [o for o in touched if o.plain_errors is not None]
    errors, harmed = sum(o.plain_errors or 0 for o in plain), sum(o.plain_harmed or 0 for o in plain)
    return [
        name,
        _median(o.true_seconds for o in touched),
        _median(o.measured_seconds for o in touched),
        f"{_median(o.unready_seconds for o in touched)} ({sum(o.unready_seconds > 0 for o in touched)}/{len(touched)})",
        _median(o.log_gap_seconds for o in touched),
        f"{_median(o.alert_seconds for o in touched)} ({sum(o.alert_seconds > 0 for o in touched)}/{len(touched)})",
        str(sum(o.true_failed for o in touched)),
        str(sum(o.counted_failed for o in touched)),
        str(sum(plain_would_count(o.kind, o.true_failed) for o in touched)),
        f"{errors} of {harmed}" if plain else "-",
    ]


def _spread(values: Iterable[float | None]) -> str:
    """Median (signed), 99th percentile and maximum of the magnitudes."""
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    sizes = sorted(abs(v) for v in known)
    high = sizes[min(len(sizes) - 1, math.ceil(0.99 * len(sizes)) - 1)]
    return f"{statistics.median(known):+.2f} / {high:.2f} / {sizes[-1]:.2f}"


def _median(values: Iterable[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{statistics.median(known):.2f}" if known else "-"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(r[i]) for r in (head, *rows)) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
