"""The supervisor's ready checks."""

from __future__ import annotations

import asyncio
import contextlib

import httpx

from faults.targets.spec import ReadyCheck

ONE_CHECK_SECONDS = 2.0


async def passes(check: ReadyCheck) -> bool:
    """Whether the instance answers now; a refused or hanging connection is simply no."""
    if check.http is not None:
        return await _http(check.http, check.contains)
    return await _tcp(check.tcp or "")


async def _http(address: str, contains: str | None) -> bool:
    try:
        async with httpx.AsyncClient(timeout=ONE_CHECK_SECONDS, trust_env=False) as client:
            answer = await client.get(address)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return answer.is_success and (contains is None or contains in answer.text)


async def _tcp(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(ONE_CHECK_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
