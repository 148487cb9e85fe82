"""`python -m tests.accuracy [--quick] [--json FILE] [--seed N]`: exit code 1 when a target is missed."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.accuracy.beside import log_gap_seconds, unready_seconds
from tests.accuracy.controls import control_runs
from tests.accuracy.lane import Lane, Ran
from tests.accuracy.machine import Lag, larger_share
from tests.accuracy.plan import Plan, full_plan, quick_plan
from tests.accuracy.rate_alert import evaluated, rises_of
from tests.accuracy.result import Result, as_json, misses, targets
from tests.accuracy.tables import short_table, tables
from tests.accuracy.truth import Compared, compare, strays

AROUND_NS = 500_000_000


async def drive(plan: Plan, folder: Path, lag: Lag) -> list[Ran]:
    """All lanes side by side; one that fails ends all."""
    end = time.monotonic() + plan.load_seconds
    watch = asyncio.create_task(lag.watch())
    try:
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(Lane(p, folder / p.name).run(end)) for p in plan.lanes]
    finally:
        watch.cancel()
    return [lane.result() for lane in lanes]


def judge(plan: Plan, lanes: Sequence[Ran], folder: Path, lag: Lag) -> Result:
    """Everything after the load has ended."""
    compared = [compare(ran) for ran in lanes]
    struck = {s.outage.number: s for ran in lanes for s in ran.struck}
    rises = {n: rises_of(s.counted_errors_ns, s.begin_ns, s.end_ns) for n, s in struck.items()}
    alerts, source = evaluated(rises, folder / "prometheus")
    outages = [
        _with_baselines(o, ran, alerts, lag) for ran, (found, _) in zip(lanes, compared, strict=True) for o in found
    ]
    return Result(
        plan=plan,
        outages=tuple(outages),
        controls=tuple(c for ran in lanes for c in control_runs(ran)),
        strays=tuple(line for ran, (_, harm) in zip(lanes, compared, strict=True) for line in strays(ran, harm)),
        alert_source=source,
        machine=lag.summary(),
    )


def _with_baselines(outage: Compared, ran: Ran, alerts: dict[int, float], lag: Lag) -> Compared:
    struck = next(s for s in ran.struck if s.outage.number == outage.number)
    return replace(
        outage,
        unready_seconds=unready_seconds(ran.polls, struck),
        log_gap_seconds=log_gap_seconds(ran.log_lines, struck),
        alert_seconds=alerts[outage.number],
        late_seconds=lag.longest(struck.inject_ns - AROUND_NS, struck.end_ns + AROUND_NS),
    )


def main(arguments: Sequence[str]) -> int:
    """Run, print, judge."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy", description="Is the client witness right?")
    parser.add_argument("--quick", action="store_true", help="a short outage of each kind and rate, at most 3 minutes")
    parser.add_argument("--json", type=Path, help="write every outage there")
    parser.add_argument("--seed", type=int, default=1, help="of the plan")
    options = parser.parse_args(arguments)
    plan = quick_plan(options.seed) if options.quick else full_plan(options.seed)
    total = sum(len(lane.outages) for lane in plan.lanes)
    longest = max(lane.seconds for lane in plan.lanes)
    print(
        f"{total} outages on {len(plan.lanes)} lanes, the longest takes about {longest:.0f} s, load for {plan.load_seconds:.0f} s"
    )
    begun = time.monotonic()
    lag = Lag()
    with tempfile.TemporaryDirectory(prefix="accuracy-") as name, larger_share() as granted:
        print("more of the processor than others: " + ("granted" if granted else "refused (not root)"))
        lanes = asyncio.run(drive(plan, Path(name), lag))
        print("\n".join(ran.timing() for ran in lanes))
        result = judge(plan, lanes, Path(name), lag)
    if options.json:
        options.json.write_text(json.dumps(as_json(result), indent=1, default=str) + "\n", encoding="utf-8")
    print(tables(result))
    print(short_table(result) + "\n")
    print("\n".join(misses(result)))
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if all(t.met for t in targets(result)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
