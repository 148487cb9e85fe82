"""`aftershock demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.demo.topology import Discovery, Engine, Layout, RouterMode, Topology


def demo(
    *,
    topology: Annotated[Layout, typer.Option(help="Aggregated, or disaggregated into prefill and decode.")] = "agg",
    workers: Annotated[int, typer.Option(min=1, max=2, help="Instances of each role.")] = 2,
    engine: Annotated[Engine, typer.Option(help="Engine that the workers imitate.")] = "vllm",
    discovery: Annotated[Discovery, typer.Option(help="How instances find each other.")] = "file",
    migration_limit: Annotated[int, typer.Option(min=0, help="How often a request may move to another worker.")] = 0,
    router_mode: Annotated[RouterMode, typer.Option(help="How requests are dealt out.")] = "round-robin",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, to look around.")
    ] = False,
    tools: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where programs are installed; .tools of the checkout by default."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where everything is written; a new folder below .data by default."),
    ] = None,
) -> None:
    """Break a real Dynamo deployment on this machine and print what its users felt.

    Installs what is missing, listens on loopback only, and leaves nothing running.

    \b
    Examples:
      aftershock demo
      aftershock demo --topology disagg --workers 1 --keep
    Exit codes: 0 every run has its verdict and its evidence, 1 not so, or a program is missing
    (one line says which), 2 bad usage, 130 Ctrl-C.
    """
    from monitor.demo.demo import Options, main  # noqa: PLC0415 - brings everything that the demo starts
    from monitor.demo.provision import DEFAULT_FOLDER  # noqa: PLC0415

    chosen = Topology(
        layout=topology,
        workers=workers,
        engine=engine,
        discovery=discovery,
        migration_limit=migration_limit,
        router_mode=router_mode,
    )
    raise typer.Exit(main(Options(topology=chosen, keep=keep, tools=tools or DEFAULT_FOLDER, data=data)))
