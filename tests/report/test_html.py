"""The pages: whole, alone, and no matter what names and messages say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.base import Instance
from monitor.model import Incident, Run
from monitor.report.html.period import time_ticks
from monitor.report.html.run_page import run_page
from monitor.report.html.soak_page import soak_page
from monitor.report.html.svg import Scale, cloud, marks, polyline, round_ticks, ticks_down
from monitor.report.model import RunReport, SoakReport
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.report.periods import compare_periods
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome
from tests.report.build import making, one_run, run_at
from tests.support.records import SECOND, T0, failed, record

EVIL = """<script>alert("1")</script>'"><img src=x onerror=alert(2)>&"""
VOID = {"meta", "img", "br", "hr", "input", "link"}


class Strict(HTMLParser):
    """Every tag is closed in order; notes what could run, load or lead away."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []
        self.links: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"script", "img", "iframe", "object", "embed", "link", "form", "base"}:
            self.found.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in {"src", "action", "style"}:
                self.found.append(name)
            if name == "href":
                assert (value or "").startswith("#"), value
                self.links.add((value or "")[1:])
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Strict:
    """Well formed, self-contained, with links that lead somewhere."""
    parser = Strict()
    parser.feed(page)
    assert parser.open == []
    assert parser.found == []
    assert parser.links <= set(parser.ids)
    assert len(parser.ids) == len(set(parser.ids))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", page)
    for figure in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(figure)  # noqa: S314 - made here
    return parser


def wide(page: str) -> str:
    """The figure for wide screens."""
    found = re.search(r'<svg[^>]*class="full".*?</svg>', page, re.DOTALL)
    assert found
    return found[0]


def evil_report(store: Store) -> RunReport:
    run = one_run(store)
    store.add(
        [failed(800, start=62.3, message=EVIL, probe=EVIL[:30])], [Gap(EVIL, T0 + 70 * SECOND, T0 + 71 * SECOND, EVIL)]
    )
    client = run.witnesses[0].model_copy(update={"reason": EVIL, "notes": (EVIL,), "died_on": {EVIL: 1}})
    changes = {
        "fault_name": EVIL,
        "fault": {"kind": EVIL, EVIL: EVIL},
        "deployment": EVIL,
        "requested_by": EVIL,
        "reason": EVIL,
        "notes": (EVIL,),
        "observations": (EVIL,),
        "instances": (Instance(component=EVIL, name=EVIL),),
        "witnesses": (client, *run.witnesses[1:]),
        "transitions": tuple(t.model_copy(update={"note": EVIL}) for t in run.transitions),
    }
    return run_report(store, run.model_copy(update=changes), making(deployment=EVIL))


def test_a_runs_page_is_whole_and_needs_nothing(one: RunReport) -> None:
    page = run_page(one)
    checked(page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    for part in ("worker on worker-0", "8 of 40", "8.00 s", "pid 7 gone, SIGKILL (waitpid)", "connection_refused"):
        assert part in page
    assert "the trace witness is absent" in page


def test_names_and_messages_are_data(store: Store) -> None:
    page = run_page(evil_report(store))
    checked(page)
    assert EVIL not in page
    assert "&lt;script&gt;alert(" in page


def test_so_they_are_in_a_soak(store: Store) -> None:
    run = one_run(store)
    store.save_run(run.model_copy(update={"fault_name": EVIL[:80], "reason": EVIL, "evidence": None, "instances": (Instance(component=EVIL, name=EVIL),)}))  # fmt: skip
    store.save_incident(Incident(start_ns=T0, end_ns=None, bad_requests=1, first_error=EVIL))
    store.add([failed(801, start=63.3, message=EVIL)], [Gap(EVIL, T0, T0 + SECOND, EVIL)])
    report = soak_report(store, T0, making().now_ns, making(deployment=EVIL))
    page = soak_page(report.model_copy(update={"comparison": compare_periods(report, report)}))
    checked(page)
    assert EVIL not in page
    assert EVIL[:80] not in page


def test_every_failed_request_is_drawn_with_its_text_and_leads_to_its_row(one: RunReport) -> None:
    page = run_page(one)
    figure = wide(page)
    assert len(re.findall(r'<path class="failed mark"', figure)) == 8
    assert figure.count("<title>failed connection_refused at") == 8
    ticks = re.search(r'<path class="failed tick" d="([^"]+)"', figure)
    assert ticks
    assert len(re.findall("M", ticks[1])) == 8
    assert {f"b{i}" for i in range(8)} <= checked(page).links


def test_so_many_that_they_share_a_path_are_all_drawn(store: Store) -> None:
    """The list ends somewhere; the picture does not."""
    run = run_at(60)
    store.save_run(run)
    starts = [60 + n / 100 for n in range(2500)]
    store.add([failed(n, start=s, life=0.3 + (n % 7) / 10) for n, s in enumerate(starts)])
    report = run_report(store, run, making())
    assert report.bad_total == 2500 > len(report.bad)
    figure = wide(run_page(report))
    one_path = re.search(r'<path class="failed cloud" d="([^"]+)"', figure)
    assert one_path
    drawn = {int(x) for x in re.findall(r"M(\d+) ", one_path[1])}
    axis = Scale(-30.0, 40.0, 76.0, 1080 - 14.0)
    assert {round(axis(start - 60)) for start in starts} == drawn


def test_phases_and_windows_are_regions(one: RunReport) -> None:
    figure = wide(run_page(one))
    assert 'class="hurt"' in figure
    assert 'class="window client"' in figure
    assert 'class="window server"' in figure
    assert ">absent<" in figure
    for name in ("injected", "effect", "recovered"):
        assert f'class="at {name}"' in figure


def test_a_fault_with_a_length_has_its_own_region(store: Store) -> None:
    run = one_run(store)
    stalled = run.model_copy(update={"t_reverted": T0 + 75 * SECOND})
    assert 'class="phase1"' in wide(run_page(run_report(store, stalled, making())))
    assert 'class="phase1"' not in wide(run_page(run_report(store, run, making())))


@pytest.mark.parametrize(
    "changes",
    [
        {"witnesses": (), "t_inject": None, "t_effect": None, "transitions": ()},
        {"witnesses": (), "evidence": None, "comparisons": (), "objective_results": (), "instances": ()},
        {"verdict": None, "t_finished": None},
    ],
)
def test_runs_of_which_little_is_known(store: Store, changes: dict[str, object]) -> None:
    run = Run.model_validate(run_at(60).model_dump() | changes)
    checked(run_page(run_report(store, run, making())))


def test_a_soaks_page(ten_hours: SoakReport) -> None:
    page = soak_page(ten_hours)
    parser = checked(page)
    assert {f"run-{r.id}" for r in ten_hours.runs} <= set(parser.ids)
    assert "false findings" in page
    assert "63.2 %" in page, "the bound of three clean control runs"
    figure = wide(page)
    assert len(re.findall(r'<line class="event', figure)) == 10
    assert 'class="incident"' in figure
    assert "no data: chat sent nothing" in figure


def test_one_bad_request_among_very_many_is_seen(store: Store) -> None:
    store.add([record(n, start=n * 10.0) for n in range(3000)])
    store.add([failed(5000, start=100.5)])
    store.add([failed(6000 + n, start=20_000 + n / 200) for n in range(900)])
    figure = wide(soak_page(soak_report(store, T0, T0 + 30_000 * SECOND, making())))
    heights = [float(h) for h in re.findall(r'<rect class="failed bar"[^>]* height="([\d.]+)"', figure)]
    assert len(heights) == 2
    assert min(heights) >= 2


def test_an_empty_period_is_a_page(store: Store) -> None:
    page = soak_page(soak_report(store, T0, making().now_ns, making()))
    checked(page)
    assert "the store has no request of this period" in page


def test_outcomes_differ_in_shape(store: Store) -> None:
    run = one_run(store)
    store.add([
        record(900, start=61.2, outcome=Outcome.SLOW, error=ErrorClass.SLOW_TOTAL),
        record(901, start=62.2, outcome=Outcome.TRUNCATED, error=ErrorClass.STREAM_CUT),
        record(902, start=63.2, outcome=Outcome.LOST, error=ErrorClass.LOST),
    ])  # fmt: skip
    figure = wide(run_page(run_report(store, run, making())))
    shapes = {k: re.search(rf'<path class="{k} mark" d="M[\d.]+ [\d.]+(m[^"M]+)"', figure) for k in ("slow", "truncated", "lost", "failed")}  # fmt: skip
    assert len({found[1] for found in shapes.values() if found}) == 4


# --- parts ----------------------------------------------------------------------------------------


def test_scales() -> None:
    linear = Scale(0, 10, 100, 0)
    assert (linear(0), linear(10), linear(5), linear(99)) == (100, 0, 50, 0)
    log = Scale(0.01, 100, 0, 4, log=True)
    assert [round(log(v), 6) for v in (0.01, 1, 100)] == [0, 2, 4]
    assert log.ticks(9) == [0.01, 0.1, 1.0, 10.0, 100.0]
    assert Scale(3, 3, 0, 9)(3) == 0


def test_round_ticks() -> None:
    assert round_ticks(-10, 21, 6) == [-10, 0, 10, 20]
    assert round_ticks(0, 0.3, 3) == [0, 0.1, 0.2, 0.3]
    assert round_ticks(5, 5, 3) == [5]


def test_paths_draw_each_place_once() -> None:
    assert marks("failed", [(1.0, 2.0), (1.1, 2.1), (9.0, 2.0)]).count("M") == 2
    assert ticks_down([1.0, 1.04, 2.0], 0, 5) == "M1 0v5M2 0v5"
    assert polyline([(0, 1), (1, 2), (2, None), (3, 4), (4, None)]) == "M0 1L1 2M3 4h0.1"


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)), max_size=200))
def test_a_cloud_has_every_pixel_and_no_other(places: list[tuple[float, float]]) -> None:
    pixels = set()
    for x, y, tall in re.findall(r"M(\d+) (\d+)v(\d+)", cloud(places)):
        column = {(int(x), int(y) + i) for i in range(int(tall))}
        assert not pixels & column
        pixels |= column
    assert pixels == {(round(x), round(y)) for x, y in places}


def test_time_ticks_are_round() -> None:
    ticks = time_ticks(T0 + 17 * SECOND, T0 + 86_417 * SECOND, 8)
    assert all(t % (3 * 3600) == 0 for t in ticks)
    assert 4 <= len(ticks) <= 9
