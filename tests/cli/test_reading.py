"""Commands that only read, and the switches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from monitor.model import Phase, Run, ServerFigures, Verdict, WitnessReport, WorkerEvent
from tests.cli.conftest import STATUS, T0, Cli, Stub, make_run

CONFIG = """
deployment:
  endpoint: {url: "http://127.0.0.1:8000", model: m}
probes: [{name: chat, request_rate: 5}]
faults:
  worker_stall: {objectives: {recovery_seconds: 12}}
schedules:
  - {name: office, faults: [none], timing: {every_seconds: 3600}}
  - {name: silent, faults: [none], timing: {every_seconds: 60}, enabled: false}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


class TestRuns:
    def test_ls_shows_what_users_felt(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run()
        done = cli("runs", "ls")
        assert done.code == 0
        row = next(line for line in done.out.splitlines() if "r0000000001" in line)
        for part in ("worker", "worker-0", "recovered", "7", "2.49 s", "2.40 s", "met"):
            assert part in row
        assert "1 of 41 runs" in done.out

    def test_ls_passes_its_filters_on(self, stub: Stub, cli: Cli) -> None:
        cli("runs", "ls", "--fault", "worker", "--verdict", "recovered", "--limit", "3")
        assert stub.asked[0][2] == {"limit": "3", "fault": "worker", "verdict": "recovered"}

    def test_ls_json(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run()
        body = json.loads(cli("runs", "ls", "--json").out)
        assert body["total"] == 41
        assert Run.model_validate(body["runs"][0]) == make_run()

    def test_ls_refuses_an_unknown_verdict(self, stub: Stub, cli: Cli) -> None:
        done = cli("runs", "ls", "--verdict", "fine")
        assert done.code == 2
        assert "not_recovered" in done.err

    def test_ls_of_nothing(self, stub: Stub, cli: Cli) -> None:
        assert cli("runs", "ls").out == "no runs\n"

    def test_show_sets_the_witnesses_side_by_side(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run()
        out = cli("runs", "show", "r00").out
        head = next(line for line in out.splitlines() if "client" in line and "server" in line)
        assert head.index("client") < head.index("server") < head.index("trace")
        status = next(line for line in out.splitlines() if line.startswith("status"))
        assert status.split() == ["status", "ok", "inconclusive", "absent"]
        assert "Prometheus does not answer" in out

    def test_show_gives_instants_from_the_injection_and_durations_with_resolution(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run()
        out = cli("runs", "show", "r00").out
        lines = {line.split("  ")[0]: line for line in out.splitlines()}
        assert "-0.50 s" in lines["requested"] or "-0.50 s" in out
        assert "+0.10 s" in lines["t_effect"]
        assert "+0.01 s" in lines["impact"]
        assert "+2.50 s" in lines["recovered"]
        assert "2.49 s (resolution 0.20 s)" in lines["error window"]
        assert "2.40 s (resolution 0.10 s)" in lines["recovery from effect"]
        assert "connection_refused 5, stream_cut 2" in out
        assert "pid 77 gone, SIGKILL (waitpid)" in out
        assert "the clock was steady" in out

    def test_show_tells_what_the_traces_explain(self, stub: Stub, cli: Cli) -> None:
        run = make_run()
        trace = WitnessReport(
            witness="trace",
            status="ok",
            migrated_requests=5,
            retried_requests=2,
            lost_requests=3,
            died_in={"decode": 4, "route": 45},
            died_on={"worker-0 4711": 49},
        )
        others = tuple(w for w in run.witnesses if w.witness != "trace")
        stub.runs["a"] = run.model_copy(update={"witnesses": (*others, trace)})
        out = cli("runs", "show", "r00").out
        for part in ("migrated", "decode 4, route 45", "worker-0 4711 49", "lost from sight"):
            assert part in out

    def test_show_tells_ready_first_success_and_baseline_apart(self, stub: Stub, cli: Cli) -> None:
        at = 1_750_000_000_000_000_000
        stub.runs["a"] = make_run(t_replaced=at + 600_000_000, t_ready=at + 1_300_000_000)
        lines = cli("runs", "show", "r00").out.splitlines()
        begin = lines.index("Whole again (from the effect)")
        found = {line.split("  ")[0]: line for line in lines[begin + 1 : begin + 5]}
        assert found["replaced"].endswith("0.50 s")
        assert found["ready"].endswith("1.20 s")
        assert found["first success"].endswith("1.90 s")
        assert found["baseline"].endswith("2.40 s (resolution 0.10 s)")

    def test_show_does_not_call_a_baseline_reached_that_was_not(self, stub: Stub, cli: Cli) -> None:
        run = make_run()
        censored = run.witnesses[0].model_copy(update={"censored": True, "t_recovered": None})
        stub.runs["a"] = run.model_copy(update={"witnesses": (censored,)})
        out = cli("runs", "show", "r00").out
        line = next(one for one in out.splitlines() if one.startswith("baseline ") and "at least" in one)
        assert "at least 2.40 s" in line

    def test_show_tells_what_the_server_says_beside_errors(self, stub: Stub, cli: Cli) -> None:
        at = 1_750_000_000_000_000_000
        figures = ServerFigures(
            migrations=5,
            migrations_by={"ongoing_request": 5},
            rejections=0,
            queue_peak=12,
            kv_cache_peak=0.43,
            tokens_per_second_before=1990.0,
            tokens_per_second_during=0.0,
            workers_before=2,
            workers_after=1,
            worker_events=(
                WorkerEvent(what="down", instance="w:9090", at_ns=at + 10**9, until_ns=at + 4 * 10**9),
                WorkerEvent(what="vanished", instance="w:9090", worker_id="54b9", at_ns=at + 4 * 10**9),
            ),
            absent=("preemptions",),
        )
        server = WitnessReport(witness="server", status="ok", figures=figures)
        stub.runs["a"] = make_run(witnesses=(make_run().witnesses[0], server))
        out = cli("runs", "show", "r00").out
        lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in out.splitlines()}
        assert lines["migrations"] == "5 (ongoing_request 5)"
        assert lines["rejections"] == "0"
        assert lines["waiting, at most"] == "12"
        assert lines["KV cache use, at most"] == "43 %"
        assert lines["tokens per second"] == "1990 before, 0 during"
        assert lines["workers"] == "2 before, 1 after"
        assert lines["no series of"] == "preemptions"
        assert "cancellations" not in lines, "what nobody said is not shown as a figure"
        assert "w:9090 could not be scraped until +4.00 s" in out
        assert "w:9090 54b9 is gone, its address is scraped" in out

    def test_a_censored_duration_is_a_lower_bound(self, stub: Stub, cli: Cli) -> None:
        run = make_run()
        censored = run.witnesses[0].model_copy(update={"censored": True})
        stub.runs["a"] = run.model_copy(update={"witnesses": (censored,)})
        assert "at least 2.49 s" in cli("runs", "show", "r00").out

    def test_a_run_without_injection_shows_clock_times(self, stub: Stub, cli: Cli) -> None:
        bare: dict[str, Any] = {
            "t_inject": None,
            "t_effect": None,
            "witnesses": (),
            "evidence": None,
            "objective_results": (),
        }
        stub.runs["a"] = make_run(verdict=Verdict.SKIPPED, reason="cooldown", **bare)
        out = cli("runs", "show", "r00").out
        assert "cooldown" in out
        assert "2025-06-15" in out

    def test_an_open_receipt_is_said(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run(receipt_open=True, verdict=Verdict.REVERT_FAILED)
        assert "aftershock recover r0000000001" in cli("runs", "show", "r00").out

    def test_a_bad_run_shown_is_exit_0(self, stub: Stub, cli: Cli) -> None:
        stub.runs["a"] = make_run(verdict=Verdict.NOT_RECOVERED)
        assert cli("runs", "show", "r00").code == 0

    def test_an_unknown_run_is_exit_2(self, stub: Stub, cli: Cli) -> None:
        done = cli("runs", "show", "r77")
        assert done.code == 2
        assert "r77" in done.err

    def test_a_run_id_cannot_name_another_path(self, stub: Stub, cli: Cli) -> None:
        assert cli("runs", "show", "../status").code == 2
        assert not stub.asked


class TestStatus:
    def test_shows_everything_that_is_wrong(self, stub: Stub, cli: Cli) -> None:
        out = cli("status").out
        for part in ("smoke", "connection refused", "disk full", "4 of 100", "office", "r0000000001"):
            assert part in out
        assert "2, 34.5 s in all, the last at 2025-06-15" in out
        assert "58 clean, 1 false finding, 2 inconclusive; false findings below 7.79 % (95 % confidence)" in out

    def test_without_a_control_run_there_is_no_rate(self, stub: Stub, cli: Cli) -> None:
        empty = {"clean": 0, "false_finding": 0, "inconclusive": 0, "rate_upper_95": None}
        stub.answers["GET", "/api/v1/status"] = (200, STATUS | {"control_runs": empty})
        line = next(one for one in cli("status").out.splitlines() if one.startswith("control runs"))
        assert line.split("  ")[-1].strip() == "none yet"

    def test_json(self, stub: Stub, cli: Cli) -> None:
        assert json.loads(cli("status", "--json").out) == STATUS


class TestSwitches:
    report: ClassVar[dict[str, Any]] = {
        "stopped": {"since_ns": T0, "reason": "smoke", "by": "cli"},
        "reverted": [{"run_id": "r1", "outcome": "reverted", "summary": "S after"}],
        "failed": [],
    }

    def test_stop_sends_its_reason_and_shows_what_was_put_back(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/stop"] = (200, self.report)
        done = cli("stop", "--reason", "smoke")
        assert done.code == 0
        assert "r1: reverted: S after" in done.out
        assert stub.asked[0][2] == {"reason": "smoke", "by": "cli"}

    @pytest.mark.parametrize("command", ["stop", "recover --all"])
    def test_what_could_not_be_put_back_is_exit_1(self, stub: Stub, cli: Cli, command: str) -> None:
        failed = self.report | {"failed": [{"run_id": "r2", "reason": "still stopped"}]}
        stub.answers["POST", "/api/v1/stop"] = stub.answers["POST", "/api/v1/recover"] = (200, failed)
        done = cli(*command.split())
        assert done.code == 1
        assert "r2: could not be put back: still stopped" in done.out

    def test_resume(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/resume"] = (200, {"stopped": None})
        assert cli("resume").code == 0
        assert json.loads(cli("resume", "--json").out) == {"stopped": None}

    def test_recover_one_or_all(self, stub: Stub, cli: Cli) -> None:
        stub.answers["POST", "/api/v1/recover"] = stub.answers["POST", "/api/v1/runs/r1/recover"] = (200, self.report)
        assert cli("recover", "r1").code == 0
        assert cli("recover", "--all").code == 0
        assert [asked[1] for asked in stub.asked] == ["/api/v1/runs/r1/recover", "/api/v1/recover"]
        assert json.loads(cli("recover", "--all", "--json").out) == self.report

    @pytest.mark.parametrize("arguments", [(), ("r1", "--all")])
    def test_recover_wants_one_or_the_other(self, stub: Stub, cli: Cli, arguments: tuple[str, ...]) -> None:
        done = cli("recover", *arguments)
        assert done.code == 2
        assert "--all" in done.err
        assert not stub.asked


class TestFaults:
    def test_ls_without_a_service_is_the_built_in_catalogue(self, nobody: str, cli: Cli) -> None:
        done = cli("faults", "ls")
        assert done.code == 0
        assert "worker_stall" in done.out
        assert nobody in done.err

    def test_ls_with_a_configuration_asks_nobody(self, nobody: str, cli: Cli, config: str) -> None:
        done = cli("faults", "ls", "-c", config, "--json")
        assert done.code == 0
        assert done.err == ""
        faults = {one["name"]: one for one in json.loads(done.out)["faults"]}
        assert faults["none"]["usable"]
        assert "deployment.target" in faults["worker"]["why_not"]
        assert faults["worker_stall"]["objectives"]["recovery_seconds"] == 12

    def test_ls_asks_the_service(self, stub: Stub, cli: Cli) -> None:
        one = {"name": "mine", "kind": "none", "layer": "none", "heals": "nothing", "description": "d"}
        stub.answers["GET", "/api/v1/faults"] = (200, {"faults": [one | {"usable": False, "why_not": "because"}]})
        stub.answers["GET", "/api/v1/faults/kinds"] = (200, {"kinds": {}})
        out = cli("faults", "ls").out
        assert "mine" in out
        assert "no: because" in out

    def test_show_has_facts_parameters_and_a_command_to_try(self, nobody: str, cli: Cli) -> None:
        out = cli("faults", "show", "worker_stall").out
        for part in ("process_stall", "CAP_KILL", "duration_seconds", "8.0", "up to 3600", "by revert"):
            assert part in out
        assert "aftershock inject worker_stall --set duration_seconds=3" in out

    def test_show_json_has_the_schema(self, nobody: str, cli: Cli) -> None:
        body = json.loads(cli("faults", "show", "worker_stall", "--json").out)
        assert body["schema"]["properties"]["duration_seconds"]["maximum"] == 3600

    def test_every_built_in_fault_can_be_shown(self, nobody: str, cli: Cli) -> None:
        names = [one["name"] for one in json.loads(cli("faults", "ls", "--json").out)["faults"]]
        assert len(names) > 10
        for name in names:
            assert cli("faults", "show", name).code == 0, name

    def test_an_unknown_fault_gets_near_names(self, nobody: str, cli: Cli) -> None:
        done = cli("faults", "show", "wroker_stall")
        assert done.code == 2
        assert "worker_stall" in done.err.splitlines()[-1]


class TestSchedules:
    def test_a_configuration_is_planned_without_a_service(self, nobody: str, cli: Cli, config: str) -> None:
        done = cli("schedules", "-c", config, "--next", "3", "--json")
        assert done.code == 0
        office, silent = json.loads(done.out)["schedules"]
        assert len(office["next"]) == 3
        assert all(one["at_ns"] % (3600 * 10**9) == 0 for one in office["next"])
        assert silent["next"] == []
        assert "disabled" in cli("schedules", "-c", config).out

    def test_the_service_is_asked_otherwise(self, stub: Stub, cli: Cli) -> None:
        one = {
            "name": "office",
            "timezone": "Europe/Berlin",
            "enabled": True,
            "faults": ["worker"],
            "control_share": 0.25,
            "next": [{"at_ns": T0, "fault": "worker"}, {"at_ns": T0, "fault": "none"}],
            "skipped": {"missed": 2},
        }
        stub.answers["GET", "/api/v1/schedules"] = (200, {"schedules": [one]})
        out = cli("schedules").out
        assert "2 missed" in out
        assert "25%" in out
        assert len(json.loads(cli("schedules", "--next", "1", "--json").out)["schedules"][0]["next"]) == 1


def test_a_run_that_is_still_alive_shows_its_phase(stub: Stub, cli: Cli) -> None:
    stub.runs["a"] = make_run(phase=Phase.EFFECTIVE, verdict=None, objective_results=())
    assert "(effective)" in cli("runs", "ls").out
    assert "none yet, effective" in cli("runs", "show", "r00").out
