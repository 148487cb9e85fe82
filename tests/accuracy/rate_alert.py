"""What the alert `rate(errors[1m]) > 0` at a 15 s scrape says of each outage.

The error counter's rises are the server's own. Each outage is put on a virtual time of its own, as if nothing else had
happened: on the real one, one minute of rate window would melt neighbouring outages into one, and the alert would look
worse than it is. A real Prometheus evaluates it where there is one; else `computed` does, which says the same (tested).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.measure.prometheus_process import free_port

SCRAPE_SECONDS = 15.0
WINDOW_SECONDS = 60.0
BEFORE_SECONDS = 120.0
AFTER_SECONDS = 180.0
REPOSITORY = Path(__file__).resolve().parents[2]
UNPACKED = REPOSITORY / ".tools/debian/prometheus/usr/bin"


@dataclass(frozen=True, slots=True)
class Rises:
    """One outage's errors in seconds from its begin, and where in the scrape interval it began."""

    errors: tuple[float, ...]
    seconds: float
    phase: float

    def samples(self) -> list[tuple[float, int]]:
        """(seconds, counter) at each scrape."""
        count = round((BEFORE_SECONDS + self.seconds + AFTER_SECONDS) / SCRAPE_SECONDS)
        instants = [self.phase - BEFORE_SECONDS + i * SCRAPE_SECONDS for i in range(count)]
        return [(t, sum(e <= t for e in self.errors)) for t in instants]


def computed(rises: Rises) -> float:
    """Seconds for which the alert is on: a rate is above 0 when the window's last sample is above its first."""
    samples = rises.samples()
    on = 0
    for now in range(-round(BEFORE_SECONDS), round(rises.seconds + AFTER_SECONDS)):
        inside = [value for t, value in samples if now - WINDOW_SECONDS <= t <= now]
        on += len(inside) > 1 and inside[-1] > inside[0]
    return float(on)


def find(program: str) -> str | None:
    """Where `make tools` unpacked it, or on PATH."""
    unpacked = UNPACKED / program
    return str(unpacked) if unpacked.exists() else shutil.which(program)


def evaluated(outages: Mapping[int, Rises], folder: Path) -> tuple[dict[int, float], str]:
    """Seconds of alert by outage number, and who said so."""
    promtool, prometheus = find("promtool"), find("prometheus")
    if promtool is None or prometheus is None or not outages:
        return {n: computed(r) for n, r in outages.items()}, "computed from the samples (no prometheus here)"
    zero = int(time.time() // SCRAPE_SECONDS * SCRAPE_SECONDS) - 7200
    folder.mkdir(parents=True, exist_ok=True)
    source, data = folder / "samples.txt", folder / "data"
    source.write_text(open_metrics(outages, zero), encoding="ascii")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with _serving(prometheus, folder) as url:
        longest = max(r.seconds for r in outages.values())
        answer = httpx.get(
            f"{url}/api/v1/query_range",
            params={
                "query": f"rate(server_errors_total[{WINDOW_SECONDS:.0f}s]) > 0",
                "start": zero - BEFORE_SECONDS,
                "end": zero + longest + AFTER_SECONDS,
                "step": 1,
            },
            trust_env=False,
        ).json()
    on = {int(s["metric"]["outage"]): float(len(s["values"])) for s in answer["data"]["result"]}
    return {
        n: on.get(n, 0.0) for n in outages
    }, "a real Prometheus, backfilled with the samples, evaluated every second"


def open_metrics(outages: Mapping[int, Rises], zero: int) -> str:
    """All outages side by side, each begun at `zero`."""
    lines = ["# TYPE server_errors counter"]
    for number, rises in outages.items():
        lines += [f'server_errors_total{{outage="{number}"}} {v} {zero + t:.3f}' for t, v in rises.samples()]
    return "\n".join([*lines, "# EOF"]) + "\n"


@contextlib.contextmanager
def _serving(prometheus: str, folder: Path) -> Iterator[str]:
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text("scrape_configs: []\n", encoding="ascii")
    command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _until_ready(f"http://127.0.0.1:{port}/-/ready", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError("prometheus was not ready within 30 s")


def rises_of(errors_ns: Sequence[int], begin_ns: int, end_ns: int) -> Rises:
    """From the server's own instants; where in the scrape interval it began follows from the clock."""
    errors = tuple((e - begin_ns) / 1e9 for e in errors_ns)
    phase = SCRAPE_SECONDS - (begin_ns / 1e9) % SCRAPE_SECONDS
    return Rises(errors, (end_ns - begin_ns) / 1e9, phase)
