"""A real Prometheus with the hour of `history` in it, which goes on scraping the same pages over HTTP."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dashboards.pictures.filling import Variables
from dashboards.pictures.window import Window
from monitor.demo.prometheus import Prometheus, ScrapeTarget
from tests.dashboards.history import STEP, STEPS, Life, dynamo_page, stamped

Page = Callable[[], str]


@contextmanager
def served(page: Page) -> Iterator[str]:
    """Serves a page at /metrics; yields host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass(frozen=True)
class World(Window):
    """Prometheus and what is in it: the played hour."""

    instance: str

    def chosen(self, fault: str = "worker") -> Variables:
        """What a person who looks at one fault has chosen."""
        return Variables(instance=self.instance, fault=fault, server="dynamo-.*", range_seconds=4200)


@contextmanager
def world(prometheus: Path, promtool: Path, folder: Path) -> Iterator[World]:
    """Play the hour into blocks, start Prometheus on them, and let it scrape the pages that go on."""
    until = int(time.time()) // STEP * STEP
    life = Life(until - (STEPS - 1) * STEP)
    now = {"step": STEPS}
    with ExitStack() as parts:
        own = parts.enter_context(served(life.page))
        frontend = parts.enter_context(served(lambda: dynamo_page("frontend", now["step"])))
        worker = parts.enter_context(served(lambda: dynamo_page("worker", now["step"])))
        parts.callback(life.metrics.shutdown)
        text = folder / "history.txt"
        _write_history(life, text, own, frontend, worker)
        _make_blocks(promtool, text, folder / "prometheus" / "state" / "data")
        targets = [
            ScrapeTarget("aftershock", own),
            ScrapeTarget("dynamo-frontend", frontend),
            ScrapeTarget("dynamo-worker", worker),
        ]
        running = parts.enter_context(Prometheus(prometheus, targets, folder / "prometheus", print))
        made = World(running.url, life.start, until, STEP, own)
        _until_scraped(made, life)
        yield made


def _write_history(life: Life, path: Path, own: str, frontend: str, worker: str) -> None:
    with path.open("w", encoding="utf-8") as out:
        for step, at in enumerate(life.play()):
            page = life.page()
            pages = (
                (page, "aftershock", own),
                (dynamo_page("frontend", step), "dynamo-frontend", frontend),
                (dynamo_page("worker", step), "dynamo-worker", worker),
            )
            for text, job, instance in pages:
                out.writelines(f"{line}\n" for line in stamped(text, job, instance, at))
                out.write(f'up{{instance="{instance}",job="{job}"}} 1 {at}\n')
        out.write("# EOF\n")


def _make_blocks(promtool: Path, text: Path, data: Path) -> None:
    data.mkdir(parents=True)
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, data]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def _until_scraped(made: World, life: Life) -> None:
    """Wait until the live pages are in Prometheus too: their labels must be those of the history."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        life.load(0.5)
        scraped = made.ask('aftershock_build_info{deployment="demo"}', at=time.time())
        if len(made.ask("up == 1", at=time.time())) >= 3 and len(scraped) == 1:
            return
        time.sleep(0.2)
    raise AssertionError("Prometheus did not scrape the pages within 30 s")
