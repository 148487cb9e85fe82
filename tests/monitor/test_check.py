"""Every kind of mistake in a configuration, with the place it is shown at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from faults.catalogue import builtin
from monitor.config.check import ConfigError, load, problems
from monitor.schedule.scheduler import Planner

GOOD = """\
deployment:
  endpoint:
    url: http://127.0.0.1:8000
    model: m
  target:
    attach:
      - component: worker
        pattern: dynamo
      - component: frontend
        pattern: frontend
probes:
  - name: chat
    request_rate: 5
    request_timeout_seconds: 20
faults:
  worker_stall:
    objectives:
      recovery_seconds: 30
  mine:
    fault: {kind: process_stall, component: worker, duration_seconds: 5}
schedules:
  - name: office
    faults: [worker, mine, none]
    timing:
      random_per_day: 8
      between: ["09:00", 17:00]
      days: [mon, tue]
    timezone: Europe/Berlin
  - name: nightly
    faults: [frontend]
    timing:
      cron: "30 2 * * 1-5"
run:
  horizon_seconds: 120
api:
  listen: 127.0.0.1:8600
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def lines(path: Path, text: str, env: Mapping[str, str] | None = None) -> list[str]:
    """The mistakes of a text, without the file's name."""
    path.write_text(text, encoding="utf-8")
    return [str(problem).replace(f"{path}:", "") for problem in problems(path, env or {})]


def test_a_good_file_loads(path: Path) -> None:
    path.write_text(GOOD, encoding="utf-8")
    assert problems(path, {}) == []
    settings = load(path, {})
    assert settings.probes[0].request_rate == 5
    assert settings.schedules[0].timing.between == ("09:00", "17:00"), "an unquoted 17:00 is a time and no number"  # type: ignore[union-attr]


MISTAKES: list[tuple[str, str, str]] = [
    # what stands in the good file, what stands there instead, the line that must come
    (
        "    request_rate: 5",
        "    request_rat: 5",
        "13: probes[0].request_rat: unknown key; did you mean request_rate?",
    ),
    ("run:", "rum:", "33: rum: unknown key; did you mean run?"),
    (
        "    request_rate: 5",
        "    request_rate: -1",
        "13: probes[0].request_rate: -1 is out of range; must be greater than 0",
    ),
    (
        "    request_rate: 5",
        "    request_rate: fast",
        '13: probes[0].request_rate: "fast" is not a number',
    ),
    (
        "    url: http://127.0.0.1:8000",
        "    url: 127.0.0.1:8000",
        '3: deployment.endpoint.url: "127.0.0.1:8000" is not allowed; must be an http:// or https:// address with a host, such as http://127.0.0.1:8000',
    ),
    (
        "    url: http://127.0.0.1:8000",
        "    url: http://127.0.0.1:8000/v1/",
        '3: deployment.endpoint.url: "http://127.0.0.1:8000/v1/" is not allowed; must be without /v1, which every request adds: http://127.0.0.1:8000',
    ),
    ("    model: m", "    model: 7", '4: deployment.endpoint.model: 7 is not text; put it in quotes: "7"'),
    ("    model: m", '    model: ""', "4: deployment.endpoint.model: is empty"),
    (
        "        pattern: dynamo",
        "        pattern: dyn(amo",
        '8: deployment.target.attach[0].pattern: "dyn(amo" is not a regular expression: missing ), unterminated subpattern at position 3; put a backslash before characters that are meant as they are',
    ),
    (
        "    request_rate: 5",
        "    request_rate: 5\n  - name: chat",
        '14: probes[1].name: "chat" is the name of probes[0] already; names must differ',
    ),
    (
        "  - name: chat",
        "  - name: Chat_1",
        '12: probes[0].name: "Chat_1" is not a name; lower-case letters, digits and hyphens, at most 40, such as chat-short',
    ),
    (
        "    request_timeout_seconds: 20",
        "    request_timeout_seconds: 20\n    overdue_seconds: 20",
        "15: probes[0].overdue_seconds: 20 can never be reached; must be below request_timeout_seconds (20), which ends the request first",
    ),
    (
        "    request_timeout_seconds: 20",
        "    request_timeout_seconds: 20\n    slow: {total_seconds: 30}",
        "15: probes[0].slow.total_seconds: 30 can never be reached; must be below request_timeout_seconds (20), which ends the request first",
    ),
    (
        "  horizon_seconds: 120",
        "  horizon_seconds: 120\n  baseline_seconds: 1",
        "35: run.baseline_seconds: 1 s of probes[0] at 5/s are fewer requests than hold_requests (10), so every run would be inconclusive; at least 2",
    ),
    (
        "run:",
        "guard: {steady_state: {window_seconds: 1}}\nrun:",
        "33: guard.steady_state.window_seconds: 1 s of probes[0] at 5/s are fewer requests than min_requests (10), so no run could ever begin; at least 2, or a lower min_requests",
    ),
    (
        "      recovery_seconds: 30",
        "      recovery_seconds: 0.1",
        "18: faults.worker_stall.objectives.recovery_seconds: 0.1 s can never be met: the probes start a request every 0.2 s and see nothing finer; at least 0.2, 0 for no impact at all, or a higher rate",
    ),
    (
        "      recovery_seconds: 30",
        "      error_window_seconds: 0.1",
        "18: faults.worker_stall.objectives.error_window_seconds: 0.1 s can never be met: the probes start a request every 0.2 s and see nothing finer; at least 0.2, 0 for no impact at all, or a higher rate",
    ),
    (
        "      recovery_seconds: 30",
        "      error_window_seconds: 200",
        "18: faults.worker_stall.objectives.error_window_seconds: 200 s can never be judged: a run is watched for at most 128 s; at most 128, or a longer run.horizon_seconds",
    ),
    (
        "kind: process_stall,",
        "kind: process_stal,",
        '20: faults.mine.fault.kind: "process_stal" is not a kind of fault; did you mean process_stall or process_kill?',
    ),
    (
        "kind: process_stall,",
        "",
        "20: faults.mine.fault.kind: is missing; there are container_restart, image_pull, node_cordon, node_drain, none, pod_delete, pod_evict, process_kill, process_stall, resource_squeeze, rollout_restart, scale",
    ),
    (
        "duration_seconds: 5}",
        "duration_seconds: 5, foo: 1}",
        "20: faults.mine.fault.foo: unknown key; there are component, duration_seconds, instances, kind, processes, verify_timeout_seconds",
    ),
    (
        "duration_seconds: 5}",
        "duration_seconds: 99999}",
        "20: faults.mine.fault.duration_seconds: 99999 is out of range; must be at most 3600",
    ),
    (
        "duration_seconds: 5}",
        "instances: bogus}",
        "20: faults.mine.fault.instances: 'bogus' is not a selector; write first, all, random, index:N or percent:P",
    ),
    (
        "component: worker, d",
        "component: cache, d",
        "20: faults.mine.fault: mine acts on component cache, which the target does not have; there are frontend, worker",
    ),
    (
        "  worker_stall:",
        "  worker_stal:",
        "16: faults.worker_stal.fault: is missing, and no built-in fault has this name; did you mean worker_stall or worker_term or worker_scale_down?",
    ),
    (
        "[worker, mine, none]",
        "[worker, mine, nine]",
        '23: schedules[0].faults[2]: no fault is called "nine"; did you mean none or mine?',
    ),
    (
        "[worker, mine, none]",
        "[prefill_worker]",
        "23: schedules[0].faults[0]: prefill_worker acts on component prefill, which the target does not have; there are frontend, worker",
    ),
    ("[worker, mine, none]", "[]", "23: schedules[0].faults: has too few entries; give at least 1"),
    (
        "[worker, mine, none]",
        "worker",
        '23: schedules[0].faults: "worker" is not a list; write [a, b]',
    ),
    (
        "      random_per_day: 8",
        "      random_per_day: 200",
        "25: schedules[0].timing.random_per_day: 200 firings at least 300 s apart need 59700 s, the window has 28800 s; at most 97, a longer window or a smaller min_gap_seconds",
    ),
    (
        '["09:00", 17:00]',
        '["09:00", "25:00"]',
        "26: schedules[0].timing.between[1]: '25:00' is after 24:00; HH:MM, from 00:00 to 24:00",
    ),
    (
        '["09:00", 17:00]',
        '["9", "17:00"]',
        "26: schedules[0].timing.between[0]: '9' is not a time of day; HH:MM, from 00:00 to 24:00",
    ),
    (
        '["09:00", 17:00]',
        '["22:00", "06:00"]',
        "26: schedules[0].timing.between: 06:00 is not after 22:00; write the earlier time first; for a window over midnight use two schedules, one to 24:00 and one from 00:00",
    ),
    (
        "days: [mon, tue]",
        "days: [mon, Tue]",
        "27: schedules[0].timing.days[1]: \"Tue\" is not allowed; must be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'",
    ),
    (
        "days: [mon, tue]",
        "day: [mon, tue]",
        "27: schedules[0].timing.day: unknown key; did you mean days?",
    ),
    (
        "    timezone: Europe/Berlin",
        "    timezone: Europe/Berln",
        '28: schedules[0].timezone: "Europe/Berln" is not a time zone; did you mean Europe/Berlin or Europe/Belfast or Europe/Helsinki?',
    ),
    (
        "    timezone: Europe/Berlin",
        "    control_share: 1.5",
        "28: schedules[0].control_share: 1.5 is out of range; must be at most 1",
    ),
    (
        "  - name: nightly",
        "  - name: office",
        '29: schedules[1].name: "office" is the name of schedules[0] already; names must differ',
    ),
    (
        'cron: "30 2 * * 1-5"',
        'cron: "61 * * * *"',
        '32: schedules[1].timing.cron: "61 * * * *" is not a cron expression: minute must be 0-59; for example "*/15 * * * *"',
    ),
    (
        'cron: "30 2 * * 1-5"',
        'cron: "30 2 * *"',
        '32: schedules[1].timing.cron: "30 2 * *" is not a cron expression: it has 4 fields, not the 5 of minute hour day month weekday; for example "*/15 * * * *"',
    ),
    (
        'cron: "30 2 * * 1-5"',
        'corn: "30 2 * * 1-5"',
        "31: schedules[1].timing: has none of cron, every_seconds, random_per_day; give exactly one of cron, every_seconds, random_per_day; corn is probably cron",
    ),
    (
        'cron: "30 2 * * 1-5"',
        "every_seconds: 0.5",
        "32: schedules[1].timing.every_seconds: 0.5 is out of range; must be at least 1",
    ),
    (
        'cron: "30 2 * * 1-5"',
        'cron: "30 2 * * 1-5"\n      every_seconds: 5',
        "31: schedules[1].timing: has cron and every_seconds; give exactly one of cron, every_seconds, random_per_day",
    ),
    (
        "  horizon_seconds: 120",
        "  horizon_seconds: 120\n  hold_seconds: 120",
        "35: run.hold_seconds: 120 s can never be held within horizon_seconds (120); must be below horizon_seconds",
    ),
    (
        "run:",
        "guard: {allowed_kinds: [none, process_kil, process_stall, process_kill]}\nrun:",
        '33: guard.allowed_kinds[1]: "process_kil" is not a kind of fault; did you mean process_kill or process_stall?',
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', rate_window_seconds: 20}\nrun:",
        "33: prometheus.rate_window_seconds: 20 s hold fewer than two scrapes, so rate() has no value; at least 30",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic}\nrun:",
        "33: prometheus.queries: is missing, and the preset is generic; give good_requests and bad_requests",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', queries: {good_requests: a, bad_requests: b}}\nrun:",
        "33: prometheus.queries: is not used by the preset dynamo, which has its own; write preset: generic, or take queries out",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: a}}\nrun:",
        "33: prometheus.queries.bad_requests: is missing; counters of requests that failed by the server's doing",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: a, bad_requests: ' '}}\nrun:",
        '33: prometheus.queries.bad_requests: is empty; a PromQL selector, such as requests_total{code=~"2.."}',
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: 'rate(a[1m])', bad_requests: b}}\nrun:",
        '33: prometheus.queries.good_requests: "rate(a[1m])" is not allowed; must be a PromQL selector without functions, such as requests_total{code=~"2.."}',
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: a, bad_requests: a}}\nrun:",
        "33: prometheus.queries.bad_requests: is the same query as good_requests; a label must tell good from bad",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, selector: 'x=\"y\"', queries: {good_requests: a, bad_requests: b}}\nrun:",
        "33: prometheus.selector: is not added to the queries of the generic preset; write the matchers into each query",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: a, bad_requests: b, latency_sum: c}}\nrun:",
        "33: prometheus.queries.latency_sum: is of no use without latency_count; give latency_count too",
    ),
    (
        "run:",
        "prometheus: {url: 'http://127.0.0.1:9090', preset: generic, queries: {good_requests: a, bad_requests: b, quueue: c}}\nrun:",
        "33: prometheus.queries.quueue: unknown key; did you mean queue?",
    ),
    (
        "  listen: 127.0.0.1:8600",
        "  listen: 0.0.0.0:8600",
        "36: api.listen: 0.0.0.0 is reachable from other machines and no token is configured; set api.token_env, or listen on 127.0.0.1",
    ),
    (
        "  listen: 127.0.0.1:8600",
        "  listen: localhost",
        '36: api.listen: "localhost" is not an address; host:port, such as 127.0.0.1:8600',
    ),
    (
        "  listen: 127.0.0.1:8600",
        "  listen: 0.0.0.0:8600\n  token_env: THE_TOKEN",
        "37: api.token_env: the environment variable THE_TOKEN is not set; set it before the service starts",
    ),
    (
        "    model: m",
        "    model: m\n    api_key_env: THE_KEY",
        "5: deployment.endpoint.api_key_env: the environment variable THE_KEY is not set; set it before the service starts",
    ),
    (
        "run:",
        "store: {url: user:secret@db}\nrun:",
        "33: store.url: is not a SQLAlchemy URL; such as sqlite:////var/lib/aftershock/aftershock.db",
    ),
    (
        "run:",
        "probes: []\nrun:",
        "33: probes: stands here for the second time, first in line 11; keep one",
    ),
]


@pytest.mark.parametrize(("there", "instead", "line"), MISTAKES, ids=[m[2].split(";")[0][:60] for m in MISTAKES])
def test_each_mistake_has_its_line_and_its_path(path: Path, there: str, instead: str, line: str) -> None:
    assert there in GOOD
    found = lines(path, GOOD.replace(there, instead, 1))
    assert line in found
    assert len(found) == (2 if line.startswith("33: probes") else 1), found


def test_all_mistakes_are_named_not_only_the_first(path: Path) -> None:
    marks = ('url: "127', "-1 is out", 'process_stal"', '"nine"', '"61 *', "Europe/Berln", "Chat_1", "0.0.0.0 is")
    chosen = [m for m in MISTAKES if any(mark in m[2] for mark in marks)]
    assert len(chosen) == len(marks)
    text = GOOD
    for there, instead, _ in chosen:
        assert there in text
        text = text.replace(there, instead, 1)
    assert sorted(lines(path, text)) == sorted(line for _, _, line in chosen)


def test_a_mistake_that_only_follows_from_another_is_not_named(path: Path) -> None:
    text = GOOD.replace("  mine:", "  mein:").replace("request_rate: 5", "request_rate: none")
    text = text.replace("recovery_seconds: 30", "recovery_seconds: 0.3")
    found = lines(path, text)
    assert len(found) == 2, found
    assert any("request_rate" in line for line in found)
    assert any('no fault is called "mine"' in line for line in found)


def test_a_fault_with_a_mistake_is_still_known_to_schedules(path: Path) -> None:
    found = lines(path, GOOD.replace("duration_seconds: 5}", "duration_seconds: -5}"))
    assert len(found) == 1


def test_queries_of_a_server_that_has_no_preset(path: Path) -> None:
    queries = """
    good_requests: 'http_requests_total{code=~"2..", path="/v1/chat/completions (new)"}'
    bad_requests: '{__name__=~"http_(errors|timeouts)_total"}'
    in_flight: my:requests_in_flight
"""
    text = f"prometheus:\n  url: http://127.0.0.1:9090\n  preset: generic\n  queries:{queries}run:"
    assert lines(path, GOOD.replace("run:", text, 1)) == []


def test_without_a_target_only_none_can_be_scheduled(path: Path) -> None:
    start, end = GOOD.index("  target:"), GOOD.index("probes:")
    found = lines(path, GOOD[:start] + GOOD[end:])
    assert (
        "17: schedules[0].faults[0]: worker needs a target and none is configured; configure deployment.target; without one only `none` can run"
        in found
    )
    assert not any("faults[2]" in line for line in found)


def test_a_kind_that_the_guard_forbids_cannot_be_scheduled(path: Path) -> None:
    found = lines(path, GOOD.replace("run:", "guard: {allowed_kinds: [none]}\nrun:"))
    assert any("schedules[0].faults[0]: worker is of kind process_kill" in line for line in found)


class TestSupervisedComponents:
    def config(self, folder: Path) -> str:
        start, end = GOOD.index("    attach:"), GOOD.index("probes:")
        return f"{GOOD[:start]}    supervisor_dir: {json.dumps(str(folder))}\n{GOOD[end:]}"

    def instances(self, folder: Path, *components: str) -> None:
        import os  # noqa: PLC0415

        from faults import procfs  # noqa: PLC0415
        from faults.targets.state import InstanceInfo, StateWriter, SupervisorInfo  # noqa: PLC0415

        me = procfs.identify(os.getpid())
        assert me is not None
        writer = StateWriter(folder)
        writer.supervisor(SupervisorInfo(pid=me.pid, start_ticks=me.start_ticks, name="test"))
        writer.instances(
            [InstanceInfo(component=one, name=f"{one}-0", command="x", state="ready") for one in components]
        )

    def test_are_known_when_the_supervisor_runs(self, path: Path, tmp_path: Path) -> None:
        folder = tmp_path / "state"
        self.instances(folder, "worker", "frontend")
        assert lines(path, self.config(folder)) == []
        self.instances(folder, "frontend")
        found = lines(path, self.config(folder))
        assert any("faults.mine.fault: mine acts on component worker" in line for line in found)

    def test_are_not_guessed_when_it_does_not(self, path: Path, tmp_path: Path) -> None:
        assert lines(path, self.config(tmp_path / "not-there")) == []


class TestFile:
    def test_missing(self, tmp_path: Path) -> None:
        assert [str(p) for p in problems(tmp_path / "no.yaml", {})] == [
            f"{tmp_path}/no.yaml: cannot be read: no such file or directory"
        ]

    def test_a_folder(self, tmp_path: Path) -> None:
        assert str(problems(tmp_path, {})[0]) == f"{tmp_path}: cannot be read: is a directory"

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("", "is empty; a configuration needs at least deployment and probes"),
            ("# only a comment\n", "is empty; a configuration needs at least deployment and probes"),
            ("- a\n", "1: does not hold keys and values at its top level"),
            (
                "a: 1\nb: [1\n",
                "3: is not YAML: expected ',' or ']', but got '<stream end>' (while parsing a flow sequence)",
            ),
            ("a: &x [*x]\n", "1: is too large, or an alias in it contains itself"),
        ],
    )
    def test_no_use(self, path: Path, text: str, line: str) -> None:
        found = lines(path, text)
        assert [one.strip() for one in found] == [line]

    def test_not_text(self, path: Path) -> None:
        path.write_bytes(b"\xff\xfe\x00")
        assert str(problems(path, {})[0]) == f"{path}: is not UTF-8 text"

    def test_code_in_it_is_not_run(self, path: Path) -> None:
        found = lines(path, "a: !!python/object/apply:os.getcwd []\n")
        assert "could not determine a constructor" in found[0]

    def test_a_billion_laughs_end_soon(self, path: Path) -> None:
        text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
        )
        assert "is too large" in lines(path, text)[0]

    def test_anchors_and_merges_are_understood(self, path: Path) -> None:
        text = GOOD.replace("  - name: chat\n", "  - &chat\n    name: chat\n")
        text = text.replace("faults:\n  worker_stall", "  - {<<: *chat, name: second}\nfaults:\n  worker_stall")
        path.write_text(text, encoding="utf-8")
        assert [probe.request_rate for probe in load(path, {}).probes] == [5, 5]


class TestEnvironment:
    def test_stands_above_the_file(self, path: Path) -> None:
        path.write_text(GOOD, encoding="utf-8")
        env = {
            "AFTERSHOCK_API__LISTEN": "127.0.0.1:9000",
            "AFTERSHOCK_PROBES__0__REQUEST_RATE": "7",
            "AFTERSHOCK_RUN__HORIZON_SECONDS": "99",
        }
        settings = load(path, env)
        assert settings.api.listen == "127.0.0.1:9000"
        assert settings.probes[0].request_rate == 7
        assert settings.probes[0].name == "chat"
        assert settings.run.horizon_seconds == 99

    def test_only_the_given_environment_counts(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_text(GOOD, encoding="utf-8")
        monkeypatch.setenv("AFTERSHOCK_API__LISTEN", "127.0.0.1:9000")
        assert load(path, {}).api.listen == "127.0.0.1:8600"
        assert load(path).api.listen == "127.0.0.1:9000"

    def test_a_mistake_names_the_variable(self, path: Path) -> None:
        found = lines(path, GOOD, {"AFTERSHOCK_RUN__HORIZON_SECONDS": "soon"})
        assert found == ['environment AFTERSHOCK_RUN__HORIZON_SECONDS: run.horizon_seconds: "soon" is not a number']

    def test_a_variable_that_is_no_setting_is_named(self, path: Path) -> None:
        env = {"AFTERSHOCK_GAURD__X": "1", "AFTERSHOCK_STORE_URL": "x", "AFTERSHOCK_PROBES": "[nope"}
        assert lines(path, GOOD, env) == [
            "environment AFTERSHOCK_GAURD__X: is not a setting; did you mean guard?",
            "environment AFTERSHOCK_STORE_URL: is not a setting; groups are set off by two underscores: AFTERSHOCK_STORE__URL",
            "environment AFTERSHOCK_PROBES: cannot be read; lists and groups are written as JSON",
        ]

    def test_variables_of_others_are_left_alone(self, path: Path) -> None:
        env = {
            "AFTERSHOCK_URL": "http://x",
            "AFTERSHOCK_TOKEN": "x",
            "AFTERSHOCK_SERVICE_HOST": "10.0.0.1",
            "AFTERSHOCK_API_PORT_8600_TCP_ADDR": "10.0.0.1",
        }
        assert lines(path, GOOD, env) == []

    def test_a_variable_that_is_set_is_fine(self, path: Path) -> None:
        text = GOOD.replace("  listen: 127.0.0.1:8600", "  listen: 0.0.0.0:8600\n  token_env: THE_TOKEN")
        assert lines(path, text, {"THE_TOKEN": "s3cret"}) == []


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.9.9.9:80", "[::1]:8600", "localhost:8600"])
def test_loopback_needs_no_token(path: Path, listen: str) -> None:
    assert lines(path, GOOD.replace("listen: 127.0.0.1:8600", f"listen: '{listen}'")) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8600", "[::]:8600", "192.168.1.5:1", "myhost:8600"])
def test_everything_else_does(path: Path, listen: str) -> None:
    found = lines(path, GOOD.replace("listen: 127.0.0.1:8600", f"listen: '{listen}'"))
    assert len(found) == 1
    assert "no token" in found[0]


TRACES = [
    ("{}", "traces: listens nowhere; set http_listen or grpc_listen, or take the section out"),
    (
        "{http_listen: nowhere}",
        'traces.http_listen: "nowhere" is not an address; host:port, such as 127.0.0.1:4318',
    ),
    (
        "{grpc_listen: '127.0.0.1:70000'}",
        'traces.grpc_listen: "127.0.0.1:70000" is not an address; host:port, such as 127.0.0.1:4317',
    ),
    (
        "{grpc_listen: '127.0.0.1:4317', http_listen: '127.0.0.1:4317'}",
        "traces.http_listen: port 4317 is that of traces.grpc_listen already; ports must differ",
    ),
    (
        "{http_listen: '127.0.0.1:8600'}",
        "traces.http_listen: port 8600 is that of api.listen already; ports must differ",
    ),
    (
        "{http_listen: '0.0.0.0:4318'}",
        "traces.http_listen: 0.0.0.0 is reachable from other machines and no token is configured; set traces.token_env, or listen on 127.0.0.1",
    ),
    (
        "{http_listen: '0.0.0.0:4318', token_env: NO_SUCH}",
        "traces.token_env: the environment variable NO_SUCH is not set; set it before the service starts",
    ),
    (
        "{http_listen: '127.0.0.1:4318', forward_to: 'http://localhost:4318'}",
        'traces.forward_to: "http://localhost:4318" is this receiver itself; the address of another collector',
    ),
    (
        "{http_listen: '127.0.0.1:4318', forward_to: 'http://tempo:4318/v1/traces'}",
        'traces.forward_to: "http://tempo:4318/v1/traces" names one signal; the address without /v1/traces, such as http://tempo:4318',
    ),
    (
        "{http_listen: '127.0.0.1:4318', forward_to: 'http://tempo:99999'}",
        'traces.forward_to: "http://tempo:99999" is not an address; such as http://tempo:4318',
    ),
    (
        "{http_listen: '127.0.0.1:4318', max_body_byte: 9}",
        "traces.max_body_byte: unknown key; did you mean max_body_bytes?",
    ),
]


@pytest.mark.parametrize(("section", "line"), TRACES)
def test_mistakes_in_where_traces_are_received(path: Path, section: str, line: str) -> None:
    (found,) = lines(path, GOOD + f"traces: {section}\n")
    assert found.partition(": ")[2] == line


@pytest.mark.parametrize(
    "section",
    [
        "{http_listen: '127.0.0.1:4318', forward_to: 'http://127.0.0.1:14318'}",
        "{grpc_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0'}",
        "{http_listen: '[::1]:4318', forward_to: 'https://[fd00::1]/otlp'}",
        "{http_listen: '0.0.0.0:4318', token_env: SECRET}",
    ],
)
def test_receivers_that_are_fine(path: Path, section: str) -> None:
    assert lines(path, GOOD + f"traces: {section}\n", {"SECRET": "x"}) == []


@pytest.mark.parametrize("name", ["recovery_seconds", "error_window_seconds"])
def test_an_objective_of_zero_asks_for_no_impact_and_can_be_met(path: Path, name: str) -> None:
    assert lines(path, GOOD.replace("recovery_seconds: 30", f"{name}: 0")) == []


def test_load_raises_all_of_it(path: Path) -> None:
    path.write_text(GOOD.replace("run:", "rum:").replace("request_rate: 5", "request_rate: -1"), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, {})
    assert len(error.value.problems) == 2
    assert len(str(error.value).splitlines()) == 2


def test_what_passes_can_be_planned_and_every_built_in_fault_can_be_configured(path: Path) -> None:
    text = GOOD + "".join(f"#{name}\n" for name in builtin())
    path.write_text(text, encoding="utf-8")
    for spec in load(path, {}).schedules:
        Planner(spec)
    for name in builtin():
        path.write_text(GOOD.replace("  worker_stall:", f"  {name}:", 1), encoding="utf-8")
        assert problems(path, {}) == [], name


KUBERNETES = (
    GOOD[: GOOD.index("  target:")]
    + """\
  target:
    kind: kubernetes
    namespace: prod
    graph_deployment: mine
    opt_in: chaos=yes
"""
    + GOOD[GOOD.index("probes:") :]
)

TARGET_MISTAKES = [
    (
        "namespace: prod",
        "namespace: kube-system",
        "7: deployment.target.namespace: kube-system holds the cluster itself and is never touched",
    ),
    (
        "namespace: prod",
        "namespace: Prod_1",
        '7: deployment.target.namespace: "Prod_1" is not allowed; must be lower-case letters, digits and hyphens, at most 63',
    ),
    (
        "graph_deployment:",
        "graph_deploymen:",
        "8: deployment.target.graph_deploymen: unknown key; did you mean graph_deployment?",
    ),
    (
        "graph_deployment: mine",
        "graph_deployment: My_Graph",
        '8: deployment.target.graph_deployment: "My_Graph" is not allowed; must be a Kubernetes name: lower-case letters, digits, hyphens and dots, at most 253',
    ),
    (
        "kind: kubernetes",
        "kind: kubernets",
        '6: deployment.target.kind: "kubernets" is not a kind of target; did you mean kubernetes?',
    ),
    (
        "chaos=yes",
        "chaos",
        '9: deployment.target.opt_in: "chaos" is not allowed; must be KEY=VALUE, such as aftershock/allowed=true',
    ),
    (
        "    graph_deployment: mine\n",
        "",
        "names no pods; give graph_deployment, or components with their selectors",
    ),
]


@pytest.mark.parametrize(
    ("there", "instead", "line"), TARGET_MISTAKES, ids=[one[1] or "no pods" for one in TARGET_MISTAKES]
)
def test_mistakes_in_a_kubernetes_target(path: Path, there: str, instead: str, line: str) -> None:
    assert lines(path, KUBERNETES) == []
    assert there in KUBERNETES
    found = lines(path, KUBERNETES.replace(there, instead, 1))
    assert any(line in one for one in found), found


def test_a_local_target_still_needs_no_kind_and_keeps_its_hints(path: Path) -> None:
    found = lines(path, GOOD.replace("    attach:", "    atach:", 1))
    assert any("deployment.target.atach: unknown key; did you mean attach?" in one for one in found)


def test_faults_on_pods_need_a_kubernetes_target(path: Path) -> None:
    text = "faults: [frontend]"
    assert lines(path, KUBERNETES.replace(text, "faults: [worker_pod]", 1)) == []
    found = lines(path, GOOD.replace(text, "faults: [worker_pod]", 1))
    assert found == [
        "30: schedules[1].faults[0]: worker_pod acts on pods, and the target is of kind local; configure a target of kind kubernetes, or take it out"
    ]
