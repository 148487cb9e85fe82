"""`python -m monitor.demo.up`: the demo's deployment and Prometheus alone, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from monitor.demo.deployment import Deployment
from monitor.demo.errors import DemoError
from monitor.demo.prometheus import Prometheus
from monitor.demo.provision import DEFAULT_FOLDER, REPOSITORY, provision
from monitor.demo.say import say
from monitor.demo.topology import Discovery, Engine, Layout, RouterMode, Topology


def main(argv: Sequence[str] | None = None) -> int:
    """Bring everything up, print the addresses, wait for Ctrl-C, leave nothing running. Exit code 1 with one line."""
    arguments = _parser().parse_args(argv)
    topology = Topology(
        layout=arguments.topology,
        workers=arguments.workers,
        engine=arguments.engine,
        discovery=arguments.discovery,
        migration_limit=arguments.migration_limit,
        router_mode=arguments.router_mode,
    )
    # SIGTERM ends it in order too, and so does SIGINT where a shell had it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _stay_up(topology, arguments.tools, arguments.data)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        say("stopped, nothing is left running")
    return 0


def _stay_up(topology: Topology, tools_folder: Path, folder: Path) -> None:
    tools = provision(tools_folder, say, etcd=topology.discovery == "etcd")
    with ExitStack() as parts:
        deployment = parts.enter_context(Deployment(topology, tools, folder / "deployment", say))
        prometheus = None
        if tools.prometheus is not None:
            prometheus = Prometheus(tools.prometheus, deployment.scrape_targets, folder / "prometheus", say)
            parts.enter_context(prometheus)
        for line in _addresses(deployment, prometheus):
            say(line)
        say("Ctrl-C stops everything")
        try:
            while True:
                deployment.check_running()
                time.sleep(1.0)
        except KeyboardInterrupt:
            say("stopping")
            raise


def _addresses(deployment: Deployment, prometheus: Prometheus | None) -> list[str]:
    return [
        f"OpenAI-compatible API  {deployment.url}/v1 (model {deployment.model})",
        *(f"{target.job:<22} http://{target.address}/metrics" for target in deployment.scrape_targets),
        f"Prometheus             {prometheus.url if prometheus else 'absent'}",
        f"supervisor             {deployment.state}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitor.demo.up", description=__doc__)
    parser.add_argument("--topology", choices=get_args(Layout), default="agg", help="aggregated or disaggregated")
    parser.add_argument("--workers", type=int, choices=(1, 2), default=2, help="instances of each role")
    parser.add_argument("--engine", choices=get_args(Engine), default="vllm", help="engine that the workers imitate")
    parser.add_argument(
        "--discovery", choices=get_args(Discovery), default="file", help="how instances find each other"
    )
    parser.add_argument("--migration-limit", type=int, default=0, help="how often a request may move to another worker")
    parser.add_argument(
        "--router-mode", choices=get_args(RouterMode), default="round-robin", help="how requests are dealt out"
    )
    parser.add_argument("--tools", type=Path, default=DEFAULT_FOLDER, help="where programs are installed")
    data = REPOSITORY / ".data" / f"up-{os.getpid()}"
    parser.add_argument("--data", type=Path, default=data, help="where everything is written")
    return parser


if __name__ == "__main__":
    sys.exit(main())
