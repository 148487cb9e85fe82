"""What end-to-end tests ask of a real Dynamo deployment and of the processes below it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

_LOOPBACK = ("127.", "::1")


@dataclass(frozen=True)
class Answer:
    """One finished chat request. `finish_reason` and `tokens` are None where the stream did not bring them."""

    status: int
    text: str
    finish_reason: str | None
    tokens: int | None
    done: bool
    error: Mapping[str, Any] | None = None


def chat(url: str, tokens: int = 16, prompt: str = "hello", timeout: float = 30.0) -> Answer:
    """A streamed chat request to the model that the demo serves."""
    body = {
        "model": "mock",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with (
        httpx.Client(timeout=timeout, trust_env=False) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
    ):
        if response.status_code != 200:
            return Answer(response.status_code, response.read().decode(), None, None, done=False)
        return _collect(response.status_code, response.iter_lines())


def _collect(status: int, lines: Iterable[str]) -> Answer:
    text, finish, tokens, done, error = "", None, None, False, None
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            done = True
            continue
        frame = json.loads(data)
        error = frame.get("error", error)
        tokens = (frame.get("usage") or {}).get("completion_tokens", tokens)
        for choice in frame.get("choices") or []:
            text += (choice.get("delta") or {}).get("content") or ""
            finish = choice.get("finish_reason") or finish
    return Answer(status, text, finish, tokens, done, error)


def instance_ids(url: str) -> set[int]:
    """The workers that the frontend sees."""
    health = httpx.get(f"{url}/health", trust_env=False).json()
    return {one["instance_id"] for one in health["instances"] if one["endpoint"] == "generate"}


def metric(address: str, name: str, **labels: str) -> float:
    """Sum of a metric's series that carry the labels; 0.0 when there is none."""
    text = httpx.get(f"http://{address}/metrics", trust_env=False).text
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name and all(one in (found[2] or "") for one in wanted):
            total += float(found[3])
    return total


def family(pid: int) -> list[psutil.Process]:
    """The process and everything below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def listening(processes: Iterable[psutil.Process]) -> list[tuple[str, int]]:
    """(address, port) of every socket that takes connections or datagrams from others."""
    sockets = (one for process in processes for one in process.net_connections(kind="inet"))
    return [(one.laddr.ip, one.laddr.port) for one in sockets if _is_open(one)]


def _is_open(one: Any) -> bool:
    datagram = one.status == psutil.CONN_NONE and one.laddr and not one.raddr
    return one.status == psutil.CONN_LISTEN or bool(datagram)


def beyond_loopback(processes: Iterable[psutil.Process]) -> list[tuple[str, int]]:
    """Those of `listening` that another machine could reach."""
    return [(address, port) for address, port in listening(processes) if not address.startswith(_LOOPBACK)]
