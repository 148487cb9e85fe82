"""The service in a cluster: found by its labels, reached by port-forward, with the token of its Secret."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.cli.client import Client
from monitor.model import Phase
from tests.cli.conftest import Cli, Stub, make_run
from tests.cli.kube import PLACE, TOKEN, Kube, kube_server, pod
from tests.faults.kube_server import kubeconfig

REVERTED: dict[str, Any] = {"reverted": [], "failed": []}


@pytest.fixture
def kube(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """A cluster with one release in namespace `place`, behind which the stub service answers."""
    with kube_server(tmp_path) as made:
        made.url = stub.url
        made.release()
        monkeypatch.delenv("AFTERSHOCK_URL")
        monkeypatch.setenv("KUBECONFIG", str(made.config))
        yield made


class TestCommands:
    @pytest.mark.parametrize(
        ("command", "asked"),
        [
            ("status", "GET /api/v1/status"),
            ("faults ls", "GET /api/v1/faults"),
            ("faults show worker", "GET /api/v1/faults"),
            ("schedules", "GET /api/v1/schedules"),
            ("inject worker --no-wait", "POST /api/v1/runs"),
            ("inject worker --dry-run", "POST /api/v1/runs"),
            ("runs ls", "GET /api/v1/runs"),
            ("runs show r1", "GET /api/v1/runs/r1"),
            ("report r1", "GET /api/v1/runs/r1/report"),
            ("report --all", "GET /api/v1/report"),
            ("recover --all", "POST /api/v1/recover"),
            ("recover r1", "POST /api/v1/runs/r1/recover"),
            ("stop", "POST /api/v1/stop"),
            ("resume", "POST /api/v1/resume"),
        ],
    )
    def test_each_asks_the_one_in_the_cluster_with_the_token(
        self, kube: Kube, stub: Stub, cli: Cli, command: str, asked: str
    ) -> None:
        stub.runs["r1"] = make_run("r1")
        stub.unfold = [make_run("r2", phase=Phase.REQUESTED, verdict=None)] if "--no-wait" in command else []
        done = cli("--context", "scripted", "--namespace", "place", *command.split())
        assert asked in [f"{method} {path}" for method, path, _ in stub.asked], done.all
        assert all(one["authorization"] == f"Bearer {TOKEN}" for one in stub.headers)
        assert "no service" not in done.err

    def test_status_is_shown(self, kube: Kube, cli: Cli) -> None:
        done = cli("--context", "scripted", "--namespace", "place", "status")
        assert (done.code, done.err) == (0, "")
        assert "smoke" in done.out

    def test_what_was_asked_for_arrives_whole(self, kube: Kube, stub: Stub, cli: Cli) -> None:
        reason = "ä" * 200_000
        stub.answers["POST", "/api/v1/stop"] = (200, REVERTED | {"note": "n" * 3_000_000})
        done = cli("-n", "place", "stop", "--reason", reason, "--json")
        assert len(done.out) > 3_000_000
        assert stub.asked[-1][2]["reason"] == reason

    def test_an_error_of_the_service_is_its_own(self, kube: Kube, cli: Cli) -> None:
        done = cli("-n", "place", "runs", "show", "r9")
        assert done.code == 2
        assert "no run is called" in done.err

    def test_a_run_is_waited_for_also_when_another_pod_takes_over(self, kube: Kube, stub: Stub, cli: Cli) -> None:
        begun = make_run("r1", phase=Phase.EFFECTIVE, verdict=None)
        stub.unfold = [begun, begun, make_run("r1")]
        seen = stub.answer

        def then_another(method: str, path: str, *rest: Any) -> tuple[int, Any]:
            kube.objects[f"{PLACE}/pods/second"] = pod("second")
            kube.endpoints("aftershock", {"ip": "10.0.0.7", "targetRef": {"kind": "Pod", "name": "second"}})
            return seen(method, path, *rest)

        stub.answer = then_another  # type: ignore[method-assign]
        try:
            done = cli("-n", "place", "inject", "worker")
        finally:
            del stub.answer
        assert done.code == 0, done.all
        assert kube.forwards[0] == "aftershock-pod"
        assert set(kube.forwards[1:]) == {"second"}


class TestPlace:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["--context", "scripted", "-n", "place", "status"],
            ["status", "--namespace=place"],
            ["status", "-n", "place", "--json"],
            ["--namespace", "place", "status", "--context", "scripted"],
        ],
        ids=" ".join,
    )
    def test_options_may_stand_before_or_behind_the_command(self, kube: Kube, cli: Cli, arguments: list[str]) -> None:
        assert cli(*arguments).code == 0

    def test_the_environment_may_say_it(self, kube: Kube, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AFTERSHOCK_CONTEXT", "scripted")
        monkeypatch.setenv("AFTERSHOCK_NAMESPACE", "place")
        assert cli("status").code == 0
        assert kube.forwards

    def test_an_option_is_stronger_than_the_environment(
        self, kube: Kube, stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AFTERSHOCK_NAMESPACE", "elsewhere")
        assert cli("status", "-n", "place").code == 0
        assert len(kube.forwards) == 1
        assert cli("status", "--url", stub.url).code == 0
        assert len(kube.forwards) == 1
        monkeypatch.setenv("AFTERSHOCK_URL", "http://127.0.0.1:1")
        assert cli("status", "-n", "place").code == 0

    @pytest.mark.parametrize("by_option", [True, False])
    def test_an_address_and_a_namespace_are_two_different_things(
        self, kube: Kube, cli: Cli, monkeypatch: pytest.MonkeyPatch, by_option: bool
    ) -> None:
        arguments = ["--url", "http://127.0.0.1:1", "-n", "place"] if by_option else []
        if not by_option:
            monkeypatch.setenv("AFTERSHOCK_URL", "http://127.0.0.1:1")
            monkeypatch.setenv("AFTERSHOCK_NAMESPACE", "place")
        one_line(cli(*arguments, "status"), 2, "two different things")

    def test_the_namespace_of_the_context_is_the_default(self, kube: Kube, cli: Cli) -> None:
        text = kube.config.read_text(encoding="utf-8")
        kube.config.write_text(text.replace('"user": "nobody"', '"user": "nobody", "namespace": "place"', 1))
        assert cli("--context", "scripted", "status").code == 0

    def test_a_context_that_is_not_there_lists_those_that_are(self, kube: Kube, cli: Cli) -> None:
        one_line(cli("--context", "prod", "status"), 3, "no context prod", "scripted")

    def test_no_kubeconfig(self, kube: Kube, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kube.config.with_name("missing")))
        one_line(cli("-n", "place", "status"), 3, "no way to a cluster", "missing")

    def test_no_cluster(self, kube: Kube, cli: Cli) -> None:
        kubeconfig(kube.config.parent, "http://127.0.0.1:1")
        one_line(cli("-n", "place", "status"), 3, "the API server cannot be reached")


class TestRelease:
    def test_none_here_but_elsewhere(self, kube: Kube, cli: Cli) -> None:
        kube.objects["/api/v1/namespaces/other/services"] = {"items": []}
        one_line(cli("-n", "other", "status"), 3, "no release of aftershock in namespace other", "namespace place")

    def test_none_here_and_no_right_to_look_elsewhere(self, kube: Kube, cli: Cli) -> None:
        kube.objects |= {"/api/v1/namespaces/other/services": {"items": []}, "/api/v1/services": 403}
        one_line(cli("-n", "other", "status"), 3, "--namespace")

    def test_of_several_one_has_to_be_said(self, kube: Kube, cli: Cli) -> None:
        kube.release("second")
        one_line(cli("-n", "place", "status"), 2, "aftershock, second", "--release")
        assert cli("-n", "place", "--release", "second", "status").code == 0
        assert kube.forwards == ["second-pod"]

    def test_one_that_is_not_there(self, kube: Kube, cli: Cli) -> None:
        one_line(cli("-n", "place", "--release", "third", "status"), 3, "no release third", "aftershock")

    def test_a_service_that_lists_all_replicas_is_not_the_one(self, kube: Kube, cli: Cli) -> None:
        kube.add_service("a-replicas", "aftershock", clusterIP="None")
        kube.add_service("zz-replicas", "aftershock", clusterIP="None")
        assert cli("-n", "place", "status").code == 0


class TestPod:
    @pytest.mark.parametrize(
        ("there", "words"),
        [
            (pod("aftershock-pod", phase="Pending", waiting="ImagePullBackOff"), "is Pending (ImagePullBackOff)"),
            (pod("aftershock-pod", leaving=True), "is on its way out"),
            (404, "is gone"),
        ],
    )
    def test_none_that_could_answer(self, kube: Kube, cli: Cli, there: Any, words: str) -> None:
        kube.objects[f"{PLACE}/pods/aftershock-pod"] = there
        one_line(cli("-n", "place", "status"), 3, "no running pod", "aftershock-pod", words)

    def test_none_at_all(self, kube: Kube, cli: Cli) -> None:
        kube.endpoints("aftershock")
        one_line(cli("-n", "place", "status"), 3, "no pod stands behind its Service")

    def test_the_next_one_when_the_first_goes(self, kube: Kube, cli: Cli) -> None:
        kube.release("two", "old", "new")
        kube.objects[f"{PLACE}/pods/old"] = pod("old", "two-token", leaving=True)
        assert cli("-n", "place", "--release", "two", "status").code == 0
        assert kube.forwards == ["new"]

    def test_one_that_is_known_by_its_address_alone(self, kube: Kube, cli: Cli) -> None:
        kube.endpoints("aftershock", {"ip": "10.0.0.5"})
        kube.objects[f"{PLACE}/pods?status.podIP=10.0.0.5"] = {"items": [pod("leader", "aftershock-token")]}
        assert cli("-n", "place", "status").code == 0
        assert kube.forwards == ["leader"]

    def test_one_where_nothing_listens(self, kube: Kube, cli: Cli) -> None:
        kube.refusal = (
            "failed to connect to localhost:8600 inside namespace 'x': dial tcp4: connect: connection refused"
        )
        for command in ("status", "faults ls"):
            done = cli("-n", "place", *command.split())
            one_line(done, 3, "connection refused", "kubectl -n place get pods")
            assert done.out == ""

    def test_one_that_ends_in_the_middle_of_its_answer(self, kube: Kube, cli: Cli) -> None:
        kube.cut_after = 200
        one_line(cli("-n", "place", "status"), 3, "no aftershock service at http://aftershock.place")

    def test_one_that_does_not_answer(self, kube: Kube, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(Client._ask.__kwdefaults__, "seconds", 0.5)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            kube.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            one_line(cli("-n", "place", "status"), 3, "no answer within 0.5 s", "kubectl -n place get pods")


class TestRights:
    @pytest.mark.parametrize(
        ("path", "words"),
        [
            (f"{PLACE}/services", "list on services"),
            (f"{PLACE}/endpoints/aftershock", "get on endpoints"),
            (f"{PLACE}/pods/aftershock-pod", "get on pods"),
            (f"{PLACE}/secrets/aftershock-token", "get on secrets"),
        ],
    )
    def test_the_one_that_is_missing_is_named(self, kube: Kube, cli: Cli, path: str, words: str) -> None:
        kube.objects[path] = 403
        one_line(cli("-n", "place", "status"), 3, words, "not allowed")

    def test_without_the_right_to_the_secret_the_token_may_be_given(
        self, kube: Kube, stub: Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kube.objects[f"{PLACE}/secrets/aftershock-token"] = 403
        assert "AFTERSHOCK_TOKEN" in cli("-n", "place", "status").err
        monkeypatch.setenv("AFTERSHOCK_TOKEN", "given")
        assert cli("-n", "place", "status").code == 0
        assert stub.headers[-1]["authorization"] == "Bearer given"

    @pytest.mark.parametrize("data", [{}, {"token": "not base64!"}])
    def test_a_secret_without_a_token(self, kube: Kube, cli: Cli, data: dict[str, str]) -> None:
        kube.objects[f"{PLACE}/secrets/aftershock-token"] = {"data": data}
        one_line(cli("-n", "place", "status"), 3, "Secret aftershock-token", "AFTERSHOCK_TOKEN")

    def test_no_token_where_the_pod_has_none(self, kube: Kube, stub: Stub, cli: Cli) -> None:
        kube.objects[f"{PLACE}/pods/aftershock-pod"] = pod("aftershock-pod")
        assert cli("-n", "place", "status").code == 0
        assert "authorization" not in stub.headers[-1]


def one_line(done: Any, code: int, *words: str) -> None:
    assert done.code == code, done.all
    assert len(done.err.splitlines()) == 1, done.err
    for word in words:
        assert word in done.err
