"""The scripted server as a process: `python -m tests.support.scripted_main --port N`; answers well until it is ended."""

from __future__ import annotations

import argparse
import asyncio

from tests.support.scripted_server import ScriptedServer


async def _serve(port: int) -> None:
    async with ScriptedServer(port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_serve(parser.parse_args().port))
