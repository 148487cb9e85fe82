"""`aftershock inject`: what is asked for, what is waited for, and the exit code."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from monitor.cli import wait
from monitor.cli.client import Client
from monitor.cli.errors import Refused, Unreachable
from monitor.cli.injecting import parse_changes
from monitor.model import ObjectiveResult, Phase, Run, Verdict
from tests.cli.conftest import Cli, Stub, make_run

BAD = [
    Verdict.NOT_RECOVERED,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_INJECTED,
    Verdict.ABORTED,
    Verdict.SKIPPED,
    Verdict.REVERT_FAILED,
]


def begin(stub: Stub, end: Run) -> None:
    """The stub accepts a run that passes through two phases and ends so."""
    stub.unfold[:] = [
        end.model_copy(update={"phase": Phase.REQUESTED, "verdict": None}),
        end.model_copy(update={"phase": Phase.EFFECTIVE, "verdict": None}),
        end,
    ]


@pytest.mark.parametrize("verdict", [Verdict.RECOVERED, Verdict.NO_IMPACT])
def test_a_good_end_is_exit_0(stub: Stub, cli: Cli, verdict: Verdict) -> None:
    begin(stub, make_run(verdict=verdict))
    done = cli("inject", "worker")
    assert done.code == 0, done.all
    assert verdict.value in done.out


@pytest.mark.parametrize("verdict", BAD)
def test_every_other_verdict_is_exit_1(stub: Stub, cli: Cli, verdict: Verdict) -> None:
    begin(stub, make_run(verdict=verdict, objective_results=()))
    done = cli("inject", "worker")
    assert done.code == 1
    assert verdict.value in done.out


def test_a_missed_objective_is_exit_1_though_it_recovered(stub: Stub, cli: Cli) -> None:
    missed = ObjectiveResult(objective="recovery_seconds", limit=1.0, value=2.4, met=False)
    begin(stub, make_run(objective_results=(missed,)))
    done = cli("inject", "worker")
    assert done.code == 1
    assert "missed" in done.out


def test_an_objective_that_cannot_be_judged_is_not_a_miss(stub: Stub, cli: Cli) -> None:
    unjudged = ObjectiveResult(objective="recovery_seconds", limit=1.0, value=None, met=None)
    begin(stub, make_run(objective_results=(unjudged,)))
    done = cli("inject", "worker")
    assert done.code == 0
    assert "not judged" in done.out


def test_json_is_the_run_and_nothing_else_on_standard_output(stub: Stub, cli: Cli) -> None:
    begin(stub, make_run())
    done = cli("inject", "worker", "--json")
    assert Run.model_validate(json.loads(done.out)) == make_run()
    assert "the fault is acting" in done.err, "progress goes to standard error"


def test_progress_is_one_line_a_phase_without_a_terminal(stub: Stub, cli: Cli) -> None:
    begin(stub, make_run())
    stub.unfold[1:1] = [stub.unfold[0]] * 3
    lines = cli("inject", "worker").err.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines] == [
        "asking the guard",
        "the fault is acting",
        "finished",
    ]
    assert "3 of 100 requests failed in the last 10 s" in lines[0]


def test_what_is_asked_for(stub: Stub, cli: Cli) -> None:
    begin(stub, make_run())
    cli("inject", "worker_stall", "--set", "duration_seconds=3", "--instance", "random", "--seed", "5")
    method, path, body = stub.asked[0]
    assert (method, path) == ("POST", "/api/v1/runs")
    assert body == {
        "fault": "worker_stall",
        "changes": {"duration_seconds": "3", "instances": "random"},
        "seed": 5,
        "dry_run": False,
        "requested_by": "cli",
    }


def test_no_wait_only_begins(stub: Stub, cli: Cli) -> None:
    begin(stub, make_run(verdict=Verdict.NOT_RECOVERED))
    done = cli("inject", "worker", "--no-wait")
    assert done.code == 0
    assert "r0000000001" in done.out
    assert len(stub.asked) == 1


class TestRefused:
    body: ClassVar[dict[str, Any]] = {
        "detail": "run r7 is active on this deployment",
        "rule": "busy",
        "run_id": "r9",
        "holder": "r7",
    }

    def test_is_exit_1_with_the_holder(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (409, self.body)
        done = cli("inject", "worker")
        assert done.code == 1
        assert "run r7 is active" in done.err
        assert "r9" in done.err
        assert len(done.err.splitlines()) == 1

    def test_names_a_holder_that_the_reason_does_not(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (409, self.body | {"detail": "busy"})
        assert "r7" in cli("inject", "worker").err

    def test_json_is_the_answer(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (409, self.body)
        done = cli("inject", "worker", "--json")
        assert done.code == 1
        assert json.loads(done.out) == self.body


@pytest.mark.parametrize(
    ("status", "detail", "code"),
    [
        (404, "no fault is called 'wroker'; did you mean worker?", 2),
        (422, "duration_seconds: must be greater than 0", 2),
        (401, "a bearer token is required", 2),
        (503, "the store refuses: disk full", 1),
    ],
)
def test_errors_of_the_service_are_one_line(stub: Stub, cli: Cli, status: int, detail: str, code: int) -> None:
    stub.answers["POST", "/api/v1/runs"] = (status, {"detail": detail})
    done = cli("inject", "wroker")
    assert done.code == code
    assert done.err == f"aftershock: {detail}\n"
    assert done.out == ""


class TestRetry:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("monitor.cli.wait.AGAIN_SECONDS", 0.01)

    @staticmethod
    def dry(reason: str | None, *, passing: bool = False) -> tuple[int, dict[str, Any]]:
        return 200, TestDryRun.body | {"would_be_refused": reason, "passing": passing}

    @staticmethod
    def refused(reason: str, *, passing: bool) -> tuple[int, dict[str, Any]]:
        return 409, TestRefused.body | {"detail": reason, "passing": passing}

    def asked(self, stub: Stub) -> list[bool]:
        """Dry or not, in turn."""
        return [body["dry_run"] for method, path, body in stub.asked if (method, path) == ("POST", "/api/v1/runs")]

    def test_what_passes_is_waited_for_by_dry_runs(self, stub: Stub, cli: Cli) -> None:
        begin(stub, make_run())
        passing = [self.dry(f"cooldown: {left} s left", passing=True) for left in (12, 11, 2)]
        stub.in_turn = [*passing, self.dry("no steady state", passing=True), self.dry(None)]
        done = cli("inject", "worker", "--retry-for", "60")
        assert done.code == 0, done.all
        assert self.asked(stub) == [True] * 5 + [False]
        said = [line for line in done.err.splitlines() if line.startswith("not yet")]
        assert said == ["not yet: cooldown: 12 s left", "not yet: no steady state"]

    def test_somebody_who_was_quicker_is_waited_for_too(self, stub: Stub, cli: Cli) -> None:
        begin(stub, make_run())
        stub.in_turn = [self.dry(None), self.refused("run r7 is active", passing=True), self.dry(None)]
        done = cli("inject", "worker", "--retry-for", "60")
        assert done.code == 0, done.all
        assert self.asked(stub) == [True, False, True, False]

    def test_what_does_not_pass_by_itself_is_refused_at_once(self, stub: Stub, cli: Cli) -> None:
        stub.in_turn = [self.dry("stopped: smoke"), self.refused("stopped: smoke", passing=False)]
        done = cli("inject", "worker", "--retry-for", "60")
        assert done.code == 1
        assert "refused: stopped: smoke" in done.err
        assert self.asked(stub) == [True, False]

    def test_the_end_of_the_time_is_a_refusal_that_is_kept(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = self.dry("cooldown: 9 s left", passing=True)
        stub.in_turn = [self.dry("cooldown: 9 s left", passing=True)]

        def after(*_: object) -> None:
            stub.answers["POST", "/api/v1/runs"] = self.refused("cooldown: 9 s left", passing=True)

        clock = iter([0.0, 1.0, 2.0, 60.0, 61.0])
        with pytest.raises(Refused, match="cooldown"):
            wait.start_when_let(
                Client(stub.url), wait.Wish("worker", {}, None), 60.0, monotonic=lambda: next(clock), sleep=after
            )
        assert self.asked(stub) == [True, False]

    def test_a_dry_run_asks_once(self, stub: Stub, cli: Cli) -> None:
        done = cli("inject", "worker", "--dry-run", "--retry-for", "9")
        assert done.code == 2
        assert "--retry-for" in done.err
        assert stub.asked == []

    def test_ctrl_c_says_that_nothing_was_begun(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = self.dry("cooldown: 9 s left", passing=True)

        def interrupt(_: float) -> None:
            raise KeyboardInterrupt

        with pytest.raises(wait.Interrupted, match="worker was not begun"):
            wait.start_when_let(Client(stub.url), wait.Wish("worker", {}, None), 60.0, sleep=interrupt)


class TestDryRun:
    body: ClassVar[dict[str, Any]] = {
        "fault": "worker",
        "spec": {"kind": "process_kill", "signal": "SIGKILL"},
        "instances": [
            {"component": "worker", "name": "worker-1", "process": None, "processes": [{"pid": 9, "command": "x"}]}
        ],
        "would_be_refused": None,
    }

    def test_prints_the_instances(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (200, self.body)
        done = cli("inject", "worker", "--dry-run")
        assert done.code == 0
        assert "worker-1: pid 9" in done.out
        assert stub.asked[0][2]["dry_run"] is True
        assert len(stub.asked) == 1

    def test_a_refusal_is_shown_and_exit_1(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (200, self.body | {"would_be_refused": "cooldown: 7 s left"})
        done = cli("inject", "worker", "--dry-run")
        assert done.code == 1
        assert "cooldown: 7 s left" in done.out

    def test_json(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/runs"] = (200, self.body)
        assert json.loads(cli("inject", "worker", "--dry-run", "--json").out) == self.body


class TestWaiting:
    def test_ctrl_c_says_that_the_run_goes_on_and_how_to_stop_it(
        self, stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(stub, make_run())

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("monitor.cli.wait.Progress.show", interrupt)
        done = cli("inject", "worker")
        assert done.code == 130
        assert "goes on" in done.err
        assert "aftershock recover r0000000001" in done.err

    def test_a_service_that_is_away_for_a_while_is_waited_for(self, stub: Stub) -> None:
        begin(stub, make_run())
        first = stub.unfold.pop(0)
        clock = iter(range(0, 1000, 5))
        away = iter([True, True, False, False, False])

        class Flaky(Client):
            def run(self, run_id: str) -> Run:
                if next(away):
                    raise Unreachable(self.url, "connection refused")
                return super().run(run_id)

        with Flaky(stub.url) as client:
            ended = wait.wait_for(client, first, monotonic=lambda: float(next(clock)), sleep=lambda _: None)
        assert ended.verdict is Verdict.RECOVERED

    def test_a_service_that_stays_away_ends_the_wait_with_exit_3(self, stub: Stub) -> None:
        first = make_run(phase=Phase.EFFECTIVE, verdict=None)
        clock = iter(range(0, 1000, 5))

        class Gone(Client):
            def run(self, run_id: str) -> Run:
                raise Unreachable(self.url, "connection refused")

        with Gone(stub.url) as client, pytest.raises(Unreachable, match="r0000000001") as error:
            wait.wait_for(client, first, monotonic=lambda: float(next(clock)), sleep=lambda _: None)
        assert error.value.code == 3


class TestChanges:
    def test_text_json_and_paths(self) -> None:
        given = ["signal=SIGTERM", "processes.pattern=VLLM::EngineCore", 'component=["a","b"]', "other=null", "x=a=b"]
        assert parse_changes(given, None) == {
            "signal": "SIGTERM",
            "processes": {"pattern": "VLLM::EngineCore"},
            "component": ["a", "b"],
            "other": None,
            "x": "a=b",
        }

    @pytest.mark.parametrize("text", ["signal", "=3", "a..b=1", "x=[1"])
    def test_what_is_no_change_is_exit_2(self, stub: Stub, cli: Cli, text: str) -> None:
        done = cli("inject", "worker", "--set", text)
        assert done.code == 2
        assert text in done.err
        assert not stub.asked
