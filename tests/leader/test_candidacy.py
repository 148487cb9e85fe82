"""A candidacy against a scripted API server: what is asked, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faults.base import FaultError, Pod
from faults.kube.api import Api, NotSent
from faults.kube.errors import Request
from faults.kube.exec import Containers, Line, Session
from monitor.leader.candidacy import Candidacy
from monitor.leader.endpoints import Endpoints, Place
from monitor.leader.lease import Lease
from tests.faults.kube_server import Answer, Script, api_server

FOLDER = "/apis/coordination.k8s.io/v1/namespaces/place/leases"
PATH = f"{FOLDER}/turns"
SECONDS = 1.0
"""Of the lease: nothing here depends on how long it is, but how long the tests take."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Script, Api]]:
    with api_server(tmp_path) as (script, file):
        api = Api(kubeconfig=file, ask_seconds=2.0)
        yield script, api
        api.close()


def raw(holder: str | None, version: str = "1", **spec: Any) -> dict[str, Any]:
    """A Lease with a label that is somebody else's."""
    given = {} if holder is None else {"holderIdentity": holder, "leaseDurationSeconds": 1, "renewTime": "x", **spec}
    return {"metadata": {"name": "turns", "resourceVersion": version, "labels": {"helm": "yes"}}, "spec": given}


@contextmanager
def candidacy(api: Api) -> Iterator[Candidacy]:
    lease = Lease(api, "place", "turns", "me_1", SECONDS)
    made = Candidacy(lease, "me_1", SECONDS)
    try:
        yield made
    finally:
        made.close()


async def bounded(work: Any) -> Any:
    return await asyncio.wait_for(work, 20)


def test_a_lease_that_was_given_back_is_taken_over_what_was_read(server: tuple[Script, Api]) -> None:
    script, api = server
    script.put(f"GET {PATH}", Answer(body=raw("", "7", leaseTransitions=4)))
    script.put(f"PUT {PATH}", Answer(body=raw("me_1", "8")))
    with candidacy(api) as mine:
        assert "stands by" in str(mine.may_act())
        asyncio.run(bounded(mine.win()))
        assert mine.may_act() is None
    (put,) = [one.body for one in script.asked if one.method == "PUT"]
    assert put["metadata"] == {"name": "turns", "resourceVersion": "7", "labels": {"helm": "yes"}}
    assert (put["spec"]["holderIdentity"], put["spec"]["leaseTransitions"]) == ("me_1", 5)


def test_without_a_lease_one_is_made(server: tuple[Script, Api]) -> None:
    script, api = server
    script.put(f"POST {FOLDER}", Answer(status=201, body=raw("me_1", "1")))
    with candidacy(api) as mine:
        asyncio.run(bounded(mine.win()))
    assert script.count("PUT") == 0


def test_who_was_slower_waits_again(server: tuple[Script, Api]) -> None:
    script, api = server
    script.put(f"GET {PATH}", Answer(body=raw("", "1")), Answer(body=raw("other", "2")), Answer(body=raw("", "3")))
    script.put(f"PUT {PATH}", Answer.error(409, "changed"), Answer(body=raw("me_1", "4")))
    with candidacy(api) as mine:
        asyncio.run(bounded(mine.win()))
    versions = [one.body["metadata"]["resourceVersion"] for one in script.asked if one.method == "PUT"]
    assert versions == ["1", "3"]


def test_a_missing_right_is_said_and_waited_for(server: tuple[Script, Api]) -> None:
    script, api = server
    script.put(f"GET {PATH}", Answer.error(403, "forbidden"))

    async def work(mine: Candidacy) -> None:
        winning = asyncio.create_task(mine.win())
        while "not allowed" not in mine.trouble:
            await asyncio.sleep(0.01)
        assert "grant get on leases.coordination.k8s.io" in mine.trouble
        script.put(f"GET {PATH}", Answer(body=raw("", "1")))
        script.put(f"PUT {PATH}", Answer(body=raw("me_1", "2")))
        await winning
        assert mine.trouble == ""

    with candidacy(api) as mine:
        asyncio.run(bounded(work(mine)))


def lead(script: Script) -> None:
    """It will win at once, and renew for as long as nothing else is put in."""
    script.put(f"GET {PATH}", Answer(body=raw("", "1")), Answer(body=raw("me_1", "2")))
    script.put(f"PUT {PATH}", Answer(body=raw("me_1", "2")))


def test_a_leader_that_cannot_renew_may_not_act_and_goes_on_when_it_can(server: tuple[Script, Api]) -> None:
    script, api = server
    lead(script)

    async def work(mine: Candidacy) -> None:
        await mine.win()
        keeping = asyncio.create_task(mine.keep())
        script.put(f"PUT {PATH}", Answer.error(500, "etcd is slow"))
        while mine.may_act() is None:
            await asyncio.sleep(0.01)
        assert "could not be renewed in time" in str(mine.may_act())
        assert not keeping.done()
        script.put(f"PUT {PATH}", Answer(body=raw("me_1", "3")))
        while mine.may_act() is not None:
            await asyncio.sleep(0.01)
        keeping.cancel()

    with candidacy(api) as mine:
        asyncio.run(bounded(work(mine)))


def test_a_leader_that_finds_another_name_has_lost_for_good(server: tuple[Script, Api]) -> None:
    script, api = server
    lead(script)

    async def work(mine: Candidacy) -> str:
        await mine.win()
        script.put(f"PUT {PATH}", Answer.error(409, "changed"))
        script.put(f"GET {PATH}", Answer(body=raw("other_2", "9")))
        return await mine.keep()

    with candidacy(api) as mine:
        assert asyncio.run(bounded(work(mine))) == "the lease is held by other_2"
        assert mine.may_act() == "the lease is held by other_2"


def test_who_is_told_that_it_lost_stops_without_asking(server: tuple[Script, Api]) -> None:
    script, api = server
    lead(script)

    async def work(mine: Candidacy) -> str:
        await mine.win()
        keeping = asyncio.create_task(mine.keep())
        await asyncio.sleep(0)
        mine.lose("another term")
        assert mine.may_act() == "another term"
        return await keeping

    with candidacy(api) as mine:
        assert asyncio.run(bounded(work(mine))) == "another term"


def test_what_is_given_back_may_be_taken_at_once_and_nothing_is_done_after(server: tuple[Script, Api]) -> None:
    script, api = server
    lead(script)
    acting: list[str | None] = []

    async def work(mine: Candidacy) -> None:
        await mine.win()
        release = mine._lease.release

        def spied() -> None:
            acting.append(mine.may_act())
            release()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mine._lease, "release", spied)
            await mine.release()

    with candidacy(api) as mine:
        asyncio.run(bounded(work(mine)))
        assert acting == ["the lease was given back"]  # before anybody could hear of it
        assert mine.may_act() == "the lease was given back"
    assert [one for one in script.asked if one.method == "PUT"][-1].body["spec"]["holderIdentity"] == ""


def test_a_lease_that_is_somebody_elses_is_not_given_back(server: tuple[Script, Api]) -> None:
    script, api = server
    lead(script)

    async def work(mine: Candidacy) -> None:
        await mine.win()
        script.put(f"GET {PATH}", Answer(body=raw("other_2", "9")))
        writes = script.count("PUT")
        await mine.release()
        assert script.count("PUT") == writes

    with candidacy(api) as mine:
        asyncio.run(bounded(work(mine)))


# --- the gate -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_sent_that_would_change_anything(server: tuple[Script, Api], tmp_path: Path, method: str) -> None:
    script, _ = server
    reasons: list[str | None] = ["the lease is over"]
    api = Api(kubeconfig=tmp_path / "kubeconfig", may_write=lambda: reasons[0])
    script.put("GET /x", Answer(body={}))
    script.put(f"{method} /x", Answer(body={}))
    request = Request("do", "things")
    api.ask_blocking(request, "GET", "/x")
    with pytest.raises(NotSent, match=r"do things: not sent: the lease is over"):
        api.ask_blocking(request, method, "/x")
    assert script.count(method) == 0
    reasons[0] = None
    api.ask_blocking(request, method, "/x")
    assert script.count(method) == 1
    api.close()


def exec_session(pressed: list[str]) -> Session:
    """What answers in a container, and waits to be let go."""
    ready = Line("ready", 0, 0, {})
    return Session(lines=[ready, ready], go=lambda: pressed.append("go"), cut=lambda: pressed.append("cut"))


POD = Pod(namespace="place", name="p", uid="u", container="main", container_id="c")


@pytest.mark.parametrize(
    ("reasons", "pressed"), [([None], ["go"]), (["the lease is over"], ["cut"])], ids=["leading", "lost meanwhile"]
)
def test_what_waits_in_a_container_is_let_go_only_by_who_leads(
    tmp_path: Path, reasons: list[str | None], pressed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(kubeconfig=tmp_path / "none", may_write=lambda: reasons[0])
    containers = Containers(api)
    seen: list[str] = []
    monkeypatch.setattr(containers, "_open", lambda *_: exec_session(seen))
    try:
        asyncio.run(bounded(containers.start(POD, ["stall"])))
    except NotSent:
        assert reasons[0] is not None
    assert seen == pressed


def test_no_command_is_begun_in_a_container_by_who_does_not_lead(server: tuple[Script, Api], tmp_path: Path) -> None:
    script, _ = server
    api = Api(kubeconfig=tmp_path / "kubeconfig", may_write=lambda: "the lease is over")
    with pytest.raises(NotSent, match="create pods/exec p in namespace place: not sent"):
        asyncio.run(bounded(Containers(api).start(POD, ["stall"])))
    assert script.asked == []


# --- the Service ----------------------------------------------------------------------------------

ENDPOINTS = "/api/v1/namespaces/place/endpoints"


def test_the_service_is_led_here_and_kept_here(server: tuple[Script, Api]) -> None:
    script, api = server
    elsewhere = {"metadata": {"name": "svc", "resourceVersion": "3"}, "subsets": []}
    here = [{"addresses": [{"ip": "10.0.0.7"}], "ports": [{"name": "http", "port": 8600, "protocol": "TCP"}]}]
    script.put(
        f"GET {ENDPOINTS}/svc",
        Answer.error(404, "none"),
        Answer(body=elsewhere),
        Answer(body=elsewhere | {"subsets": here}),
    )
    script.put(f"POST {ENDPOINTS}", Answer(status=201, body={}))
    script.put(f"PUT {ENDPOINTS}/svc", Answer(body={}))
    endpoints = Endpoints(api, Place("place", "svc"), "10.0.0.7", {"http": 8600}, "pod-1")

    async def work() -> None:
        for _ in range(3):
            await endpoints._put(endpoints._ours)

    asyncio.run(bounded(work()))
    assert [one.method for one in script.asked] == ["GET", "POST", "GET", "PUT", "GET"]
    made, changed = (one.body for one in script.asked if one.body is not None)
    assert made["subsets"][0]["addresses"][0]["ip"] == "10.0.0.7"
    assert changed["metadata"]["resourceVersion"] == "3"
    assert changed["subsets"] == made["subsets"]


def test_a_service_that_cannot_be_led_does_not_end_the_leader(server: tuple[Script, Api]) -> None:
    script, api = server
    script.put(f"GET {ENDPOINTS}/svc", Answer.error(403, "forbidden"))
    endpoints = Endpoints(api, Place("place", "svc"), "10.0.0.7", {"http": 8600})

    async def work() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(endpoints.keep(), 0.3)
        with pytest.raises(FaultError):
            await endpoints._put([])
        await endpoints.clear()

    asyncio.run(work())
