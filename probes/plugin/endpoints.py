"""OpenAI endpoints whose requests carry their own trace id."""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from aiperf.common.models import RequestInfo
from aiperf.endpoints.openai_chat import ChatEndpoint
from aiperf.endpoints.openai_completions import CompletionsEndpoint

from probes.plugin.config import PluginConfig, load
from probes.plugin.trace import traceparent

ENDPOINT_TYPES = frozenset({"aftershock_chat", "aftershock_completions"})
"""Endpoint types whose answers are judged strictly and written to the journal."""


def own_headers(request_id: str | None, config: PluginConfig) -> dict[str, str]:
    """Headers of one request beyond aiperf's own: the probe's, the API key, the traceparent."""
    headers = dict(config.headers)
    key = os.environ.get(config.api_key_env, "") if config.api_key_env else ""
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if request_id:
        headers["traceparent"] = traceparent(UUID(request_id), config.sample_ratio)
    return headers


class StrictChatEndpoint(ChatEndpoint):  # type: ignore[misc]  # aiperf ships no types
    """Chat Completions with our headers; the transport judges its answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._config = load()

    def get_endpoint_headers(self, request_info: RequestInfo) -> dict[str, str]:
        return {**super().get_endpoint_headers(request_info), **own_headers(request_info.x_request_id, self._config)}


class StrictCompletionsEndpoint(CompletionsEndpoint):  # type: ignore[misc]  # aiperf ships no types
    """Completions with our headers; the transport judges its answers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._config = load()

    def get_endpoint_headers(self, request_info: RequestInfo) -> dict[str, str]:
        return {**super().get_endpoint_headers(request_info), **own_headers(request_info.x_request_id, self._config)}
