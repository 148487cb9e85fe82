"""The service's HTTP API, with typed errors."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from monitor.cli.errors import ApiError, BadUsage, Refused, Unreachable
from monitor.model import Run
from monitor.report.model import RunReport, SoakReport

M = TypeVar("M", bound=BaseModel)

QUICK_SECONDS = 15.0
REPORT_SECONDS = 120.0
REVERT_SECONDS = 90.0
"""Stop and recover answer only when everything is put back, with retries."""


class Client:
    """Talks to one service. Every method raises `Unreachable` or `ApiError`."""

    def __init__(
        self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None, hint: str = ""
    ) -> None:
        """`hint` is what to do when no service answers, where that is not the usual."""
        self.url = url.rstrip("/")
        self._hint = hint
        if not self.url.startswith(("http://", "https://")):
            raise BadUsage(f"{url} is not the address of a service; write it as http://127.0.0.1:8600")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            # trust_env: a proxy that the shell knows must not get requests for this machine.
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=QUICK_SECONDS, trust_env=False, transport=transport
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise BadUsage(f"{url} is not an address: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    # --- reading ----------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The service at a glance."""
        return self._ask("GET", "/api/v1/status")

    def faults(self) -> list[dict[str, Any]]:
        """The catalogue with the facts of each kind."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/v1/faults").get("faults", [])
        return found

    def kinds(self) -> dict[str, Any]:
        """JSON schema of each kind."""
        found: dict[str, Any] = self._ask("GET", "/api/v1/faults/kinds").get("kinds", {})
        return found

    def schedules(self) -> list[dict[str, Any]]:
        """Schedules with their next firings."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/v1/schedules").get("schedules", [])
        return found

    def runs(self, *, limit: int, fault: str | None, verdict: str | None) -> tuple[list[Run], int]:
        """Runs, newest first, and how many there are in all."""
        wanted = {"limit": str(limit), "fault": fault or "", "verdict": verdict or ""}
        body = self._ask("GET", "/api/v1/runs", params={key: value for key, value in wanted.items() if value})
        return [self._run(one) for one in body.get("runs", [])], int(body.get("total", 0))

    def run(self, run_id: str) -> Run:
        """One run, by id or unique prefix."""
        return self._run(self._ask("GET", f"/api/v1/runs/{_segment(run_id)}"))

    def run_report(self, run_id: str) -> RunReport:
        """One run with the requests around it."""
        body = self._ask("GET", f"/api/v1/runs/{_segment(run_id)}/report", seconds=REPORT_SECONDS)
        return self._read(RunReport, body)

    def period_report(self, since_ns: int | None, until_ns: int | None, fault: str | None) -> SoakReport:
        """A period with all its runs; without a begin everything, without an end until now."""
        wanted = {"since_ns": since_ns, "until_ns": until_ns, "fault": fault}
        params = {key: str(value) for key, value in wanted.items() if value is not None}
        return self._read(SoakReport, self._ask("GET", "/api/v1/report", params=params, seconds=REPORT_SECONDS))

    # --- acting -----------------------------------------------------------------------------

    def start(self, fault: str, changes: dict[str, Any], seed: int | None) -> Run:
        """Begin a run. Raises `Refused` when the guard says no."""
        return self._run(self._ask("POST", "/api/v1/runs", body=_request(fault, changes, seed, dry_run=False)))

    def dry_run(self, fault: str, changes: dict[str, Any], seed: int | None) -> dict[str, Any]:
        """What a run would do."""
        return self._ask("POST", "/api/v1/runs", body=_request(fault, changes, seed, dry_run=True))

    def recover(self, run_id: str | None) -> dict[str, Any]:
        """Put back one run or all."""
        path = "/api/v1/recover" if run_id is None else f"/api/v1/runs/{_segment(run_id)}/recover"
        return self._ask("POST", path, seconds=REVERT_SECONDS)

    def stop(self, reason: str) -> dict[str, Any]:
        """Emergency stop."""
        return self._ask("POST", "/api/v1/stop", body={"reason": reason, "by": "cli"}, seconds=REVERT_SECONDS)

    def resume(self) -> dict[str, Any]:
        """Release the emergency stop."""
        return self._ask("POST", "/api/v1/resume", body={"by": "cli"})

    # --- inside -----------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        seconds: float = QUICK_SECONDS,
    ) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, params=params, json=body, timeout=seconds)
        except httpx.TimeoutException:
            raise Unreachable(self.url, f"no answer within {seconds:g} s", self._hint) from None
        except httpx.TransportError as error:
            raise Unreachable(self.url, _why(error), self._hint) from None
        except httpx.InvalidURL as error:
            raise BadUsage(f"{self.url} is not an address: {error}") from None
        return self._answer(response)

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            why = f"something else answers there: HTTP {response.status_code}, no JSON object"
            raise Unreachable(self.url, why, self._hint)
        if response.is_success:
            return body
        detail = str(body.get("detail") or f"HTTP {response.status_code}")
        kind = Refused if response.status_code == 409 else ApiError
        raise kind(response.status_code, detail, body)

    def _run(self, body: dict[str, Any]) -> Run:
        return self._read(Run, body)

    def _read(self, model: type[M], body: dict[str, Any]) -> M:
        try:
            return model.model_validate(body)
        except ValidationError as error:
            text = f"the service at {self.url} is of another version: its answer is not understood"
            raise ApiError(200, text, body) from error


def _request(fault: str, changes: dict[str, Any], seed: int | None, *, dry_run: bool) -> dict[str, Any]:
    return {"fault": fault, "changes": changes, "seed": seed, "dry_run": dry_run, "requested_by": "cli"}


def _segment(run_id: str) -> str:
    """A run id as a path segment; what else might stand there could name another path."""
    if not run_id or not run_id.replace("-", "").replace("_", "").isalnum():
        raise BadUsage(f"{run_id!r} is not a run id; `aftershock runs ls` lists them")
    return run_id


def _why(error: httpx.TransportError) -> str:
    text = str(error)
    for known in ("connection refused", "name or service not known", "connection reset", "no route to host"):
        if known in text.lower():
            return known
    return text or type(error).__name__
