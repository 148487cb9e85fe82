"""CPU of the monitor with all three witnesses at 50 requests/s, beside aiperf's in the same run. Prints JSON; asserts nothing.

`python -m tests.bench.bench_witnesses [--minutes 5] [--rate 50]`: real Dynamo, whose every request leaves spans; a run
every two minutes asks all witnesses.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from monitor.demo.deployment import Deployment
from monitor.demo.plan import configuration
from monitor.demo.prometheus import SCRAPE_SECONDS, Prometheus
from monitor.demo.provision import DEFAULT_FOLDER, provision
from monitor.demo.topology import Topology
from tests.bench.bench_monitor import measure
from tests.support.monitor import Monitor, free_port


def say(text: str) -> None:
    """Progress goes where it is not taken for the result."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Start everything, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=50.0)
    given = parser.parse_args()
    tools = provision(DEFAULT_FOLDER, say, etcd=False)
    assert tools.prometheus is not None, tools.absent
    port = free_port()
    topology = Topology(workers=2, otlp_endpoint=f"http://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deployment = Deployment(topology, tools, folder / "dynamo", say)
        try:
            deployment.start()
            with Prometheus(tools.prometheus, deployment.scrape_targets, folder / "prometheus", say) as prometheus:
                config = configuration(
                    endpoint=deployment.url,
                    model=deployment.model,
                    tokenizer=deployment.model_folder,
                    supervisor_dir=deployment.state,
                    prometheus=prometheus.url,
                    port=0,
                    data_dir=folder,
                    otlp=f"127.0.0.1:{port}",
                )
                config["probes"][0] |= {"request_rate": given.rate, "output_tokens": 16, "rotate_seconds": 600}
                config["schedules"] = [{"name": "control", "faults": ["none"], "timing": {"every_seconds": 120}}]
                wanted = {k: v for k, v in config.items() if k not in {"data_dir", "api"}}
                with Monitor(wanted, folder / "monitor") as monitor:
                    monitor.start()
                    monitor.wait_steady()
                    found = measure(monitor, given.minutes * 60)
                    runs = monitor.get("/api/v1/runs").json()["runs"]
                    page = monitor.get("/metrics").text
                    spans = [line for line in page.splitlines() if line.startswith("aftershock_otlp_spans_received")]
                    found["witnesses_of_last_run"] = {
                        w["witness"]: w["status"] for w in runs[0]["witnesses"] if w["probe"] is None
                    }
                    found["spans_received"] = float(spans[0].split()[-1])
                    found["scrape_seconds"] = SCRAPE_SECONDS
                    print(json.dumps(found, indent=1))
        finally:
            deployment.stop()


if __name__ == "__main__":
    main()
