"""Two periods side by side."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from monitor.report.model import SoakReport
from monitor.report.of_soak import soak_report
from monitor.report.periods import compare_periods
from monitor.report.statistics import word_of
from monitor.store.store import Store
from tests.report.build import making, not_recovered, run_at, soak
from tests.support.records import SECOND, T0

HOURS = 24


def reported(path: Path, seed: int, slower: float) -> SoakReport:
    store = Store(f"sqlite:///{path}")
    soak(store, hours=HOURS, every=60.0, seed=seed, slower=slower)
    now = T0 + HOURS * 3600 * SECOND
    report = soak_report(store, T0, now, making(now_ns=now))
    store.close()
    return report


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SoakReport]:
    folder = tmp_path_factory.mktemp("periods")
    return {
        "now": reported(folder / "a.db", 1, 1.0),
        "same": reported(folder / "b.db", 2, 1.0),
        "slower": reported(folder / "c.db", 3, 3.0),
    }


def words(first: SoakReport, second: SoakReport) -> dict[str, str]:
    return {d.what: d.word for d in compare_periods(first, second).differences}


def test_a_slower_version_is_found_and_an_equal_one_is_not(reports: dict[str, SoakReport]) -> None:
    recovery = "worker: recovery from effect, median"
    assert words(reports["now"], reports["slower"])[recovery] == "higher"
    assert words(reports["slower"], reports["now"])[recovery] == "lower"
    assert words(reports["now"], reports["same"])[recovery] == "no difference shown"


def test_the_figures_are_those_of_the_reports(reports: dict[str, SoakReport]) -> None:
    found = compare_periods(reports["now"], reports["slower"])
    share = next(d for d in found.differences if d.what == "bad requests, all the time")
    ratio = reports["now"].speed.good_ratio
    assert ratio is not None
    assert share.first.value == pytest.approx(100 * (1 - ratio))
    worker = next(d for d in found.differences if d.what.startswith("worker: recovery"))
    assert worker.second.value == pytest.approx(next(f.recovery.median for f in reports["slower"].faults if f.fault == "worker"))  # fmt: skip
    assert worker.first.count == 8
    assert not any(d.what.startswith("none") for d in found.differences), "control runs recover from nothing"


def test_a_run_that_did_not_recover_counts_as_longer_than_all(store: Store) -> None:
    for n in range(6):
        store.save_run(run_at(100.0 * n, recovery=5.0))
        store.save_run(not_recovered(20_000 + 100.0 * n, bound=1.0))
    first = soak_report(store, T0 - SECOND, T0 + 10_000 * SECOND, making())
    second = soak_report(store, T0 + 10_000 * SECOND, making().now_ns, making())
    found = next(d for d in compare_periods(first, second).differences if d.what.startswith("worker: recovery"))
    assert (found.first.value, found.second.value, found.change.value) == (5.0, None, None)
    assert found.word == "higher"


def test_the_same_seed_gives_the_same_intervals(reports: dict[str, SoakReport]) -> None:
    assert compare_periods(reports["now"], reports["same"]) == compare_periods(reports["now"], reports["same"])


def test_what_one_side_lacks_is_said(reports: dict[str, SoakReport]) -> None:
    now = reports["now"]
    less = now.model_copy(update={"faults": tuple(f for f in now.faults if f.fault != "worker")})
    notes = "\n".join(compare_periods(less, now).notes)
    assert "only one of the two has runs of them: worker" in notes
    assert "the periods overlap" in notes
    assert "missing in the first: probe chat sent nothing" in notes


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, math.inf, "higher"),
        (math.inf, math.inf, "higher"),
        (-math.inf, -0.1, "lower"),
        (-math.inf, 0.2, "no difference shown"),
        (-1.0, 1.0, "no difference shown"),
    ],
)
def test_words(low: float, high: float, word: str) -> None:
    assert word_of(low, high) == word
