"""A stretch of time in a Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

ASK_SECONDS = 30.0
MOST_POINTS = 300
"""Points a line; more cannot be told apart in a picture."""


class QueryFailedError(Exception):
    """Prometheus cannot be asked, or does not take the query. One line."""


@dataclass(frozen=True)
class Window:
    """What is looked at. `since` and `until` are UTC seconds, `step` seconds between points."""

    url: str
    since: int
    until: int
    step: int

    @classmethod
    def of(cls, url: str, since: int, until: int, *, scrape_seconds: float) -> Window:
        """With the finest step that still makes a picture, and is no finer than the scrapes."""
        return cls(url.rstrip("/"), since, until, max(1, round(scrape_seconds), -(-(until - since) // MOST_POINTS)))

    def ask(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """An instant query, at the end unless said otherwise. Raises `QueryFailedError`."""
        return self._get("query", {"query": expr, "time": self.until if at is None else at})

    def over(self, expr: str, step: int | None = None) -> list[dict[str, Any]]:
        """A range query over the whole window. Raises `QueryFailedError`."""
        asked = {"query": expr, "start": self.since, "end": self.until, "step": step or self.step}
        return self._get("query_range", asked)

    def _get(self, what: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        try:
            answer = httpx.post(f"{self.url}/api/v1/{what}", data=asked, timeout=ASK_SECONDS, trust_env=False).json()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise QueryFailedError(f"{self.url} does not answer as a Prometheus does: {error}") from None
        except ValueError:
            raise QueryFailedError(f"{self.url} does not answer as a Prometheus does: not JSON") from None
        if not isinstance(answer, dict) or answer.get("status") != "success":
            said = answer.get("error") if isinstance(answer, dict) else answer
            raise QueryFailedError(f"{self.url} refuses {asked['query']!r}: {said}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found
