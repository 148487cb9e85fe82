"""Plans on virtual time, and the scheduler that carries them out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.config.settings import ScheduleSpec
from monitor.schedule.cron import Cron, CronError, minute_of_day
from monitor.schedule.scheduler import Firing, Planner, Scheduler

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2025, 3, 29, 12, tzinfo=UTC)
"""The day before clocks in Berlin go forward, 02:00 to 03:00."""
AUTUMN = datetime(2025, 10, 25, 12, tzinfo=UTC)
"""The day before they go back, 03:00 to 02:00."""


def spec(timing: dict[str, Any], **changes: Any) -> ScheduleSpec:
    body = {"name": "office", "faults": ["worker", "worker_stall"], "timing": timing, "timezone": "Europe/Berlin"}
    return ScheduleSpec.model_validate(body | changes)


def cron(text: str, **changes: Any) -> Planner:
    return Planner(spec({"cron": text}, **changes))


def walls(planner: Planner, after: datetime, count: int) -> list[str]:
    """Firings in Berlin's wall time, with the offset."""
    return [f"{one.at.astimezone(BERLIN):%m-%d %H:%M%z}" for one in planner.plan(after, count)]


class TestCron:
    def test_weekdays_are_those_of_crontab(self) -> None:
        days = [one.at.strftime("%a") for one in cron("0 12 * * 0", timezone="UTC").plan(SPRING, 3)]
        assert days == ["Sun"] * 3
        assert [one.at.strftime("%a") for one in cron("0 12 * * 1-5", timezone="UTC").plan(SPRING, 6)] == [
            "Mon",
            "Tue",
            "Wed",
            "Thu",
            "Fri",
            "Mon",
        ]
        for same in ("0 12 * * 7", "0 12 * * sun"):
            assert cron(same).plan(SPRING, 5) == cron("0 12 * * 0").plan(SPRING, 5)

    def test_the_time_zone_counts(self) -> None:
        assert walls(cron("30 9 * * *"), SPRING, 2) == ["03-30 09:30+0200", "03-31 09:30+0200"]
        assert walls(cron("30 9 * * *"), AUTUMN - timedelta(days=1), 3) == [
            "10-25 09:30+0200",
            "10-26 09:30+0100",
            "10-27 09:30+0100",
        ]

    def test_a_time_that_is_skipped_in_spring_comes_an_hour_later_once(self) -> None:
        assert walls(cron("30 2 * * *"), SPRING, 2) == ["03-30 03:30+0200", "03-31 02:30+0200"]

    def test_a_time_that_comes_twice_in_autumn_fires_once(self) -> None:
        assert walls(cron("30 2 * * *"), AUTUMN, 2) == ["10-26 02:30+0200", "10-27 02:30+0100"]

    def test_every_hour_is_every_hour_also_when_clocks_change(self) -> None:
        for start in (SPRING, AUTUMN):
            times = [one.at for one in cron("0 * * * *").plan(start, 30)]
            assert {b - a for a, b in pairwise(times)} == {timedelta(hours=1)}

    def test_strictly_after(self) -> None:
        first = cron("0 * * * *").next_after(SPRING)
        assert first is not None
        again = cron("0 * * * *").next_after(first.at)
        assert again is not None
        assert again.at == first.at + timedelta(hours=1)

    def test_a_leap_day_is_found_years_ahead(self) -> None:
        first = cron("0 0 29 2 *", timezone="UTC").next_after(datetime(2096, 3, 1, tzinfo=UTC))
        assert first is not None
        assert first.at == datetime(2104, 2, 29, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("61 * * * *", "minute must be 0-59"),
            ("* 24 * * *", "hour must be 0-23"),
            ("* * 0 * *", "day of month must be 1-31"),
            ("* * * 13 *", "month must be 1-12"),
            ("* * * * 8", "weekday must be 0-7"),
            ("* * * *", "4 fields"),
            ("x * * * *", "minute 'x' is not a number 0-59"),
            ("* * * foo *", "or jan-dec"),
            ("*/0 * * * *", "whole number from 1 after the slash"),
            ("5-1 * * * *", "ends before it begins"),
            ("0 0 31 2,4 *", "never comes"),
            ("0 0 1 * mon", "both set"),
        ],
    )
    def test_mistakes(self, text: str, why: str) -> None:
        with pytest.raises(CronError, match=why):
            Cron.parse(text)

    def test_what_crontab_allows(self) -> None:
        parsed = Cron.parse("0-10/5,30 8-9 * jan,MAR fri-7")
        assert sorted(parsed.minutes) == [0, 5, 10, 30]
        assert sorted(parsed.months) == [1, 3]
        assert sorted(parsed.weekdays) == [0, 5, 6]
        assert parsed.matches(date(2025, 1, 3))
        assert not parsed.matches(date(2025, 2, 7))


class TestInterval:
    def test_a_restart_shifts_nothing(self) -> None:
        planner = Planner(spec({"every_seconds": 45}))
        whole = [one.at for one in planner.plan(SPRING, 20)]
        assert all(at.timestamp() % 45 == 0 for at in whole)
        for seconds in range(0, 400, 37):
            later = SPRING + timedelta(seconds=seconds)
            assert [one.at for one in Planner(spec({"every_seconds": 45})).plan(later, 3)] == [
                at for at in whole if at > later
            ][:3]


class TestRandom:
    timing: ClassVar[dict[str, Any]] = {
        "random_per_day": 8,
        "between": ["09:00", "17:00"],
        "days": ["mon", "wed"],
        "min_gap_seconds": 900,
    }

    def plan(self, start: datetime = SPRING, count: int = 80, **changes: Any) -> list[Firing]:
        return Planner(spec(self.timing, **changes)).plan(start, count)

    def test_the_window_the_weekdays_and_the_gap_are_kept(self) -> None:
        by_day: dict[date, list[datetime]] = {}
        for one in self.plan():
            wall = one.at.astimezone(BERLIN)
            assert wall.strftime("%a") in {"Mon", "Wed"}
            assert 9 <= wall.hour < 17
            by_day.setdefault(wall.date(), []).append(one.at)
        assert all(len(times) == 8 for times in by_day.values())
        for times in by_day.values():
            assert times == sorted(times)
            gaps = [b - a for a, b in pairwise(times)]
            assert min(gaps) >= timedelta(seconds=900)

    def test_days_differ(self) -> None:
        times = [one.at.astimezone(BERLIN).time() for one in self.plan(count=16)]
        assert times[:8] != times[8:]

    def test_the_seed_the_name_and_nothing_else_make_the_plan(self) -> None:
        assert self.plan() == self.plan()
        assert [f.at for f in self.plan()] != [f.at for f in self.plan(seed=1)]
        assert [f.at for f in self.plan()] != [f.at for f in self.plan(name="other")]
        assert [f.at for f in self.plan()] == [f.at for f in self.plan(faults=["none"])]

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 14 * 86400))
    def test_whenever_one_asks_the_plan_is_the_same(self, seconds: int) -> None:
        whole = self.plan(count=60)
        later = SPRING + timedelta(seconds=seconds)
        assert self.plan(later, 10) == [one for one in whole if one.at > later][:10]

    @pytest.mark.parametrize(("start", "expected"), [(SPRING, 23), (SPRING + timedelta(days=1), 24), (AUTUMN, 24)])
    def test_a_day_shortened_by_a_clock_change_has_as_many_as_fit(self, start: datetime, expected: int) -> None:
        full = {"random_per_day": 24, "min_gap_seconds": 3700}
        days = Counter(f.at.astimezone(BERLIN).date() for f in Planner(spec(full)).plan(start, 100))
        assert days[(start + timedelta(days=1)).date()] == expected

    def test_a_window_that_does_not_exist_on_a_day_has_no_firings(self) -> None:
        gone = {"random_per_day": 3, "between": ["02:00", "03:00"], "min_gap_seconds": 60}
        days = [f.at.astimezone(BERLIN).date() for f in Planner(spec(gone)).plan(SPRING, 3)]
        assert days == [date(2025, 3, 31)] * 3

    def test_as_many_as_fit_exactly(self) -> None:
        tight = {"random_per_day": 5, "between": ["09:00", "10:00"], "min_gap_seconds": 900}
        walls_ = walls(Planner(spec(tight)), SPRING, 5)
        assert walls_ == [f"03-30 {t}+0200" for t in ("09:00", "09:15", "09:30", "09:45", "10:00")]

    @pytest.mark.parametrize("text", ["9", "9:5", "24:01", "09:60", "-1:00", "a:00", "", "\u0660\u0669:\u0660\u0660"])
    def test_what_is_no_time_of_day(self, text: str) -> None:
        with pytest.raises(ValueError, match="is"):
            minute_of_day(text)


class TestControls:
    @pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
    @pytest.mark.parametrize("timing", [{"every_seconds": 45}, {"cron": "0 */6 * * *"}, {"random_per_day": 4}])
    def test_the_share_is_kept_at_any_length(self, timing: dict[str, Any], share: float) -> None:
        plan = Planner(spec(timing, control_share=share, timezone="UTC")).plan(SPRING, 800)
        count = 0
        for number, one in enumerate(plan, 1):
            count += one.fault == "none"
            assert abs(count - share * number) < 4

    def test_they_are_well_spread(self) -> None:
        plan = Planner(spec({"every_seconds": 45}, control_share=0.25)).plan(SPRING, 1000)
        at = [index for index, one in enumerate(plan) if one.fault == "none"]
        assert max(b - a for a, b in pairwise(at)) <= 5

    def test_they_keep_step_with_no_time_of_day(self) -> None:
        """Four firings a day and a share of a quarter: a plain every-fourth rule would always hit the same hour."""
        plan = Planner(spec({"cron": "0 */6 * * *"}, control_share=0.25, timezone="UTC")).plan(SPRING, 1600)
        hours = Counter(one.at.hour for one in plan if one.fault == "none")
        assert set(hours) == {0, 6, 12, 18}
        assert all(85 <= count <= 115 for count in hours.values()), hours

    def test_none_and_all(self) -> None:
        for share, expected in ((0.0, 0), (1.0, 50)):
            plan = Planner(spec({"every_seconds": 45}, control_share=share)).plan(SPRING, 50)
            assert sum(one.fault == "none" for one in plan) == expected

    def test_every_fault_gets_its_turn_and_the_choice_is_stable(self) -> None:
        def plan() -> list[Firing]:
            return Planner(spec({"every_seconds": 45})).plan(SPRING, 300)

        counts = Counter(one.fault for one in plan())
        assert all(100 < counts[name] < 200 for name in ("worker", "worker_stall"))
        assert plan() == plan()
        assert len({one.seed for one in plan()}) > 290


class Diary:
    """A scheduler on virtual time: `due` is called as APScheduler would."""

    def __init__(self, *specs: ScheduleSpec, answer: str | None = None) -> None:
        self.now = SPRING
        self.fired: list[Firing] = []
        self.skips: list[tuple[str, str]] = []
        self.answer = answer
        self.scheduler = Scheduler(
            specs, self._fire, on_skip=lambda name, reason: self.skips.append((name, reason)), now=lambda: self.now
        )

    async def _fire(self, firing: Firing) -> str | None:
        self.fired.append(firing)
        return self.answer

    def due(self, firing: Firing, late: float = 0.0) -> None:
        self.now = firing.at + timedelta(seconds=late)
        asyncio.run(self.scheduler.due(firing))

    def next_at(self, name: str = "office") -> datetime:
        return datetime.fromtimestamp(self.scheduler.next_by_schedule()[name] / 1e9, UTC)


EVERY_MINUTE = {"every_seconds": 60}


class TestScheduler:
    def first(self, diary: Diary) -> Firing:
        return diary.scheduler.plan(1)["office"][0]

    def test_a_firing_in_time_fires_and_the_next_is_planned(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))
        first = self.first(diary)
        diary.due(first, late=59)
        assert diary.fired == [first]
        assert diary.skips == []
        assert diary.next_at() == first.at + timedelta(seconds=60)

    def test_a_late_one_is_missed_and_never_made_up(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))
        first = self.first(diary)
        diary.due(first, late=61)
        assert diary.fired == []
        assert diary.skips == [("office", "missed")]
        assert diary.scheduler.describe()[0]["skipped"] == {"missed": 1}
        assert diary.next_at() == first.at + timedelta(seconds=60), "the next is 1 s late by now, which is in time"

    def test_after_a_long_pause_the_plan_goes_on_from_now(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))
        first = self.first(diary)
        diary.due(first, late=3600 + 30)
        assert diary.fired == []
        assert diary.skips == [("office", "missed")] * 60
        assert diary.next_at() == first.at + timedelta(seconds=3600)

    def test_a_pause_of_a_year_is_no_endless_loop(self) -> None:
        diary = Diary(spec({"every_seconds": 1}))
        diary.due(self.first(diary), late=365 * 86400)
        assert len(diary.skips) == 1000
        assert diary.now - diary.next_at() <= timedelta(seconds=60)

    def test_a_clock_that_is_set_back_fires_nothing_twice(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))
        first = self.first(diary)
        diary.due(first, late=-3600)
        assert diary.next_at() > first.at

    def test_the_reason_of_a_skip_is_counted(self) -> None:
        diary = Diary(spec(EVERY_MINUTE), answer="busy")
        diary.due(self.first(diary))
        assert diary.skips == [("office", "busy")]
        assert diary.scheduler.describe()[0]["skipped"] == {"busy": 1}

    def test_paused_means_skipped_with_that_reason(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))
        diary.scheduler.pause()
        first, second = diary.scheduler.plan(2)["office"]
        diary.due(first)
        assert diary.fired == []
        assert diary.skips == [("office", "paused")]
        diary.scheduler.resume()
        diary.due(second)
        assert diary.fired == [second]

    def test_a_failure_does_not_end_the_schedule(self) -> None:
        diary = Diary(spec(EVERY_MINUTE))

        async def fail(firing: Firing) -> str | None:
            raise RuntimeError("broken")

        diary.scheduler._fire = fail
        first = self.first(diary)
        with pytest.raises(RuntimeError):
            diary.due(first)
        assert diary.next_at() == first.at + timedelta(seconds=60)

    def test_a_disabled_schedule_is_described_and_never_planned(self) -> None:
        diary = Diary(spec(EVERY_MINUTE, enabled=False))

        async def start() -> None:
            diary.scheduler.start()
            diary.scheduler.stop()

        asyncio.run(start())
        assert diary.scheduler.next_by_schedule() == {}
        assert diary.scheduler.describe()[0] == {
            "name": "office",
            "timezone": "Europe/Berlin",
            "enabled": False,
            "faults": ["worker", "worker_stall"],
            "control_share": 0.0,
            "next": [],
            "skipped": {},
        }

    def test_what_was_due_before_the_start_is_not_looked_at(self) -> None:
        """A firing 10 s before the start is within missed_after_seconds, and may well have been carried out."""
        diary = Diary(spec(EVERY_MINUTE))
        due = self.first(diary)
        diary.now = due.at + timedelta(seconds=10)

        async def start() -> None:
            diary.scheduler.start()
            diary.scheduler.stop()

        asyncio.run(start())
        assert diary.next_at() == due.at + timedelta(seconds=60)
        assert diary.skips == []

    def test_the_description_is_the_plan(self) -> None:
        diary = Diary(spec(EVERY_MINUTE, control_share=0.5))
        told = diary.scheduler.describe(7)[0]["next"]
        assert [(one["at_ns"], one["fault"]) for one in told] == [
            (int(f.at.timestamp()) * 10**9, f.fault)
            for f in islice(Planner(spec(EVERY_MINUTE, control_share=0.5)).after(SPRING), 7)
        ]


async def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def test_on_the_real_clock_each_planned_firing_comes_once() -> None:
    fired: list[Firing] = []

    async def fire(firing: Firing) -> str | None:
        fired.append(firing)
        return None

    async def live() -> list[Firing]:
        scheduler = Scheduler([spec({"every_seconds": 1}), spec({"every_seconds": 1}, name="second")], fire)
        scheduler.start()
        planned = scheduler.plan(2)
        await _until(lambda: len(fired) >= 4)
        scheduler.stop()
        return [one for plan in planned.values() for one in plan]

    planned = asyncio.run(live())
    assert set(planned) <= set(fired)
    assert len(set(fired)) == len(fired)
