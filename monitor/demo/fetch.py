"""`python -m monitor.demo.fetch`: install what the demo and the end-to-end tests need, and say where it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor.demo.debian import ALERTMANAGER
from monitor.demo.errors import DemoError
from monitor.demo.provision import DEFAULT_FOLDER, program, provision
from monitor.demo.say import say


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 with one line when something needed cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m monitor.demo.fetch", description=__doc__)
    parser.add_argument("--tools", type=Path, default=DEFAULT_FOLDER, help="where programs are installed")
    arguments = parser.parse_args(argv)
    try:
        tools = provision(arguments.tools, say, etcd=True)
        alertmanager = program(ALERTMANAGER, arguments.tools, say)
    except DemoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name, path in (
        ("ai-dynamo", tools.dynamo_python),
        ("nats-server", tools.nats),
        ("etcd", tools.etcd),
        ("prometheus", tools.prometheus),
        ("alertmanager", alertmanager),
    ):
        say(f"{name:<12} {path or 'absent'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
