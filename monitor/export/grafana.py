"""Publishes dashboards to a Grafana: creates what is missing, changes what differs, touches nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import requests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, TokenAuth

from dashboards.build import FOLDER, text_of

TIMEOUT_SECONDS = 10.0
_ATTEMPTS = 2
"""A save that somebody else's save overtook is tried once more, on top of theirs."""
_OF_ONE_GRAFANA = frozenset({"id", "version"})

State = Literal["created", "changed", "unchanged"]


class PublishError(Exception):
    """One line for a person: what is wrong, and what would be right."""


class GrafanaUnreachableError(PublishError):
    """Nobody answers, or not in time, or not like Grafana."""


class TokenRefusedError(PublishError):
    """Grafana does not take the token, or it may not write."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became, or would become, of one dashboard. `difference` is a unified diff; empty for a new one."""

    name: str
    state: State
    url: str = ""
    difference: str = ""


class Publisher:
    """One Grafana. Blocks. `dry_run` reads and writes nothing."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        dry_run: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
        folder: str = FOLDER,
    ) -> None:
        self._url = url.rstrip("/")
        self._dry_run = dry_run
        self._timeout = timeout_seconds
        self._folder = folder
        # The client glues its path to ours, so a Grafana below a path needs the last slash.
        self._api = GrafanaApi.from_url(f"{self._url}/", TokenAuth(token), timeout=timeout_seconds)

    def publish(self, dashboards: Mapping[str, dict[str, Any]]) -> list[Published]:
        """Publish all, in order. Raises `PublishError`; what was published before that stays."""
        try:
            self._need_folder()
            return [self._one(name, dashboard) for name, dashboard in dashboards.items()]
        except GrafanaException as error:
            raise self._explained(error) from None
        except requests.exceptions.Timeout:
            raise GrafanaUnreachableError(
                f"Grafana at {self._url} does not answer within {self._timeout:g} s"
            ) from None
        except requests.exceptions.JSONDecodeError:
            raise GrafanaUnreachableError(
                f"{self._url} does not answer like Grafana; is it the right address?"
            ) from None
        except requests.exceptions.RequestException as error:
            raise GrafanaUnreachableError(f"no Grafana at {self._url} ({type(error).__name__})") from None

    def _need_folder(self) -> None:
        if self._found(self._api.folder.get_folder, self._folder) is not None or self._dry_run:
            return
        try:
            self._api.folder.create_folder(self._folder, uid=self._folder)
        except GrafanaClientError as error:
            # Somebody else may have created it just now.
            if error.status_code not in {409, 412} or self._found(self._api.folder.get_folder, self._folder) is None:
                raise

    def _one(self, name: str, dashboard: dict[str, Any]) -> Published:
        for attempt in range(1, _ATTEMPTS + 1):
            current = self._found(self._api.dashboard.get_dashboard, dashboard["uid"])
            todo = self._compared(name, dashboard, current)
            if todo.state == "unchanged" or self._dry_run:
                return todo
            try:
                saved = self._save(dashboard, current)
            except GrafanaClientError as error:
                if _conflict(error) == "version-mismatch" and attempt < _ATTEMPTS:
                    continue
                raise
            return Published(name, todo.state, self._url + str(saved.get("url", "")), todo.difference)
        raise AssertionError("every attempt returns or raises")

    def _compared(self, name: str, dashboard: dict[str, Any], current: Mapping[str, Any] | None) -> Published:
        if current is None:
            return Published(name, "created")
        there = {key: value for key, value in current["dashboard"].items() if key not in _OF_ONE_GRAFANA}
        elsewhere = current.get("meta", {}).get("folderUid") != self._folder
        if there == dashboard and not elsewhere:
            return Published(name, "unchanged", self._url + str(current.get("meta", {}).get("url", "")))
        lines = difflib.unified_diff(
            text_of(there).splitlines(), text_of(dashboard).splitlines(), "in Grafana", "ours", lineterm="", n=2
        )
        moved = [f"moved into the folder {self._folder}"] if elsewhere else []
        return Published(name, "changed", difference="\n".join([*moved, *lines]))

    def _save(self, dashboard: dict[str, Any], current: Mapping[str, Any] | None) -> Mapping[str, Any]:
        body = {"id": None} if current is None else {"id": None, "version": current["dashboard"].get("version", 0)}
        saved: Mapping[str, Any] = self._api.dashboard.update_dashboard(
            {
                "dashboard": dashboard | body,
                "folderUid": self._folder,
                "message": "aftershock dashboards publish",
                "overwrite": False,
            }
        )
        return saved

    @staticmethod
    def _found(get: Any, uid: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = get(uid)
        except GrafanaClientError as error:
            if error.status_code == 404:
                return None
            raise
        if not isinstance(found, dict):
            raise requests.exceptions.JSONDecodeError("not an object", "", 0)
        return found

    def _explained(self, error: GrafanaException) -> PublishError:
        said = error.response.get("message", "") if isinstance(error.response, dict) else ""
        if error.status_code == 401:
            return TokenRefusedError(
                f"Grafana at {self._url} refuses the token (401); GRAFANA_TOKEN must be one of a service account"
            )
        if error.status_code == 403:
            return TokenRefusedError(
                f"the token may not write at {self._url} (403 {said}); its service account needs the role Editor"
            )
        if isinstance(error, GrafanaClientError) and _conflict(error) == "version-mismatch":
            return PublishError("somebody else keeps saving the same dashboard; try again when they are done")
        if isinstance(error, GrafanaClientError) and error.status_code == 412:
            return PublishError(f"Grafana refuses to save: {said or error.message}")
        return PublishError(f"Grafana at {self._url} answered {error.status_code}: {said or 'no further words'}")


def _conflict(error: GrafanaClientError) -> str:
    """Grafana's word for a precondition that failed, such as version-mismatch or name-exists."""
    known = error.status_code == 412 and isinstance(error.response, dict)
    return str(error.response.get("status", "")) if known else ""
