"""`aftershock demo`: a real Dynamo deployment, a real monitor, real faults, and a table of what users felt."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from monitor.demo.deployment import Deployment
from monitor.demo.errors import DemoError
from monitor.demo.plan import configuration, steps
from monitor.demo.ports import free_ports
from monitor.demo.prometheus import SCRAPE_SECONDS, Prometheus, ScrapeTarget
from monitor.demo.provision import DEFAULT_FOLDER, REPOSITORY, Tools, provision
from monitor.demo.service import Service
from monitor.demo.show import Screen, make_console, show_results
from monitor.demo.topology import Topology
from monitor.model import Run, Verdict

COMMAND = ".venv/bin/aftershock"
"""Where `make setup` puts it; uv is no program that everybody has on PATH."""
INJECTED = frozenset({Verdict.NO_IMPACT, Verdict.RECOVERED, Verdict.NOT_RECOVERED, Verdict.INCONCLUSIVE})


@dataclass(frozen=True)
class Options:
    """What a person chooses."""

    topology: Topology = field(default_factory=Topology)
    keep: bool = False
    tools: Path = DEFAULT_FOLDER
    data: Path | None = None
    """Folder of everything that this demo writes; a new one below .data by default."""


def main(options: Options) -> int:
    """0 when every run has a verdict and every injected one has evidence; 1 with one line otherwise; 130 after Ctrl-C."""
    # SIGTERM ends it in order too, and so does SIGINT where a shell had it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = make_console()
    folder = options.data or REPOSITORY / ".data" / f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with Screen(console) as screen:
        try:
            return _demo(options, folder.resolve(), screen)
        except DemoError as error:
            screen.say(str(error))
            return 1
        except KeyboardInterrupt:
            screen.say("stopped; nothing is left running")
            return 130


def _demo(options: Options, folder: Path, screen: Screen) -> int:
    tools = provision(options.tools, screen.say, etcd=options.topology.discovery == "etcd")
    with ExitStack() as parts:
        began = int(time.time())
        deployment, service, prometheus = _start(options, tools, folder, screen, parts)
        runs = _run_all(options, service, screen)
        result = _write(folder, options, runs)
        pictures = _draw(folder / "dashboards", prometheus, began, runs, screen) if prometheus else None
        show_results(screen.console, runs)
        screen.say(f"as JSON       {result}")
        screen.say(f"report        {service.write_report(folder / 'report.html')}")
        if pictures is not None:
            screen.say(f"dashboards    {pictures}/overview.png, run.png, deployment.png, faults.png, health.png")
        screen.say(f"page          {service.url}/")
        screen.say(f"API           {service.url}/docs")
        if prometheus is not None:
            screen.say(f"Prometheus    {prometheus.url}/")
        screen.say(f"try           {COMMAND} --url {service.url} runs show {runs[-1].id}")
        if options.keep:
            _stay(deployment, service, screen)
        else:
            screen.say("the addresses end with the demo; `make demo KEEP=1` keeps them")
        screen.say("stopping everything")
    screen.say("nothing is left running")
    return 0 if all(_well(run) for run in runs) else 1


def _start(
    options: Options, tools: Tools, folder: Path, screen: Screen, parts: ExitStack
) -> tuple[Deployment, Service, Prometheus | None]:
    port, otlp_port = free_ports(2)
    topology = replace(options.topology, otlp_endpoint=f"http://127.0.0.1:{otlp_port}")
    deployment = parts.enter_context(Deployment(topology, tools, folder / "deployment", screen.say))
    prometheus = None
    if tools.prometheus is not None:
        targets = (*deployment.scrape_targets, ScrapeTarget("aftershock", f"127.0.0.1:{port}"))
        prometheus = parts.enter_context(Prometheus(tools.prometheus, targets, folder / "prometheus", screen.say))
    config = configuration(
        endpoint=deployment.url,
        model=deployment.model,
        tokenizer=deployment.model_folder,
        supervisor_dir=deployment.state,
        prometheus=prometheus.url if prometheus else None,
        port=port,
        data_dir=folder / "monitor" / "data",
        otlp=f"127.0.0.1:{otlp_port}",
    )
    service = parts.enter_context(Service(config, folder / "monitor", screen.say))
    screen.title("waiting for aiperf to send")
    service.wait_ready(screen.look)
    return deployment, service, prometheus


def _run_all(options: Options, service: Service, screen: Screen) -> list[Run]:
    runs = []
    plan = steps(options.topology)
    for number, step in enumerate(plan, 1):
        screen.title(f"waiting for steady state before run {number} of {len(plan)}")
        service.wait_steady(screen.look)
        screen.title(f"run {number} of {len(plan)}: {step.fault} - {step.title}")
        run = service.run(step.fault, screen.look)
        screen.say(f"  {run.verdict}: {run.evidence.summary if run.evidence else run.reason}")
        runs.append(run)
    return runs


def _draw(folder: Path, prometheus: Prometheus, began: int, runs: list[Run], screen: Screen) -> Path:
    """Every dashboard as a picture; the run dashboard shows the fault that hurt longest."""
    # A second and 40 MB, for those who come this far.
    from dashboards.pictures.pages import draw_all  # noqa: PLC0415
    from dashboards.pictures.window import QueryFailedError, Window  # noqa: PLC0415

    screen.title("drawing the dashboards")
    worst = max(runs, key=_hurt)
    window = Window.of(prometheus.url, began, int(time.time()), scrape_seconds=SCRAPE_SECONDS)
    try:
        list(draw_all(folder, window, fault=worst.fault_name, scrape_seconds=SCRAPE_SECONDS))
    except QueryFailedError as error:
        raise DemoError(str(error)) from None
    return folder


def _hurt(run: Run) -> float:
    client = run.witness("client")
    return (client.error_window_seconds if client else None) or 0.0


def _stay(deployment: Deployment, service: Service, screen: Screen) -> None:
    screen.title("everything stays up; Ctrl-C stops it")
    screen.say(f"inject by hand: {COMMAND} --url {service.url} inject worker")
    try:
        while True:
            deployment.check_running()
            service.check_running()
            screen.look(service.status())
            time.sleep(1.0)
    except KeyboardInterrupt:
        return


def _write(folder: Path, options: Options, runs: list[Run]) -> Path:
    path = folder / "result.json"
    body = {"topology": str(options.topology), "runs": [run.model_dump(mode="json") for run in runs]}
    path.write_text(json.dumps(body, indent=1), encoding="utf-8")
    return path


def _well(run: Run) -> bool:
    return run.verdict in INJECTED and run.evidence is not None
