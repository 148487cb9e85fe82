"""All tests on the cluster: `python -m tests.cluster [--short] [pytest's arguments]`.

They mostly wait, so on a node of our own they run side by side, but for those that disturb the whole node: these have
it to themselves afterwards. On somebody's own cluster, which KUBECONFIG names, all run one after the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from monitor.demo.errors import DemoError
from tests.cluster.rig.clients import provide_clients
from tests.cluster.rig.images import AFTERSHOCK, DYNAMO, provide
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import REPOSITORY, Places
from tests.cluster.rig.preflight import reasons_against

SIDES = 3
"""Files of tests at a time, for two cores."""
PYTEST = (sys.executable, "-m", "pytest", "-v", "--durations=10")
NONE_CHOSEN = 5
"""Pytest's exit code when there is no such test."""
BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line of progress."""
    print(f"[cluster {time.monotonic() - BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


def pytest(*words: str) -> int:
    """Its exit code; 0 when no test was chosen. After a Ctrl-C it is given the time to clean up."""
    process, interrupted = subprocess.Popen([*PYTEST, *words], cwd=REPOSITORY), False
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:  # of which pytest has heard too
            interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return 0 if process.returncode == NONE_CHOSEN else process.returncode


def templates(short: bool, arguments: list[str]) -> int:
    """The chart without a cluster, for the API sets of many versions; --short is for who has run these before."""
    return 0 if short else pytest("tests/chart", *arguments)


def on_our_node(which: str, arguments: list[str]) -> int:
    """Start it, make what every test asks for, run the tests, and end it. Raises `DemoError`."""
    places = Places.usual()
    node = Node(places, say)
    node.up(tethered=True)
    try:
        for image in (DYNAMO, AFTERSHOCK):
            provide(image, node, say)
        side_by_side = ("-n", str(SIDES), "--dist", "loadgroup", "--no-loadscope-reorder")
        codes = [
            pytest("tests/cluster", "-m", f"{which} and not alone", *side_by_side, *arguments),
            pytest("tests/cluster", "-m", f"{which} and alone", *arguments),
        ]
    finally:
        if node.started:
            node.down()
    left = node.remains() if node.started else []
    for line in left:
        say(f"LEFT BEHIND: {line}")
    return max(*codes, int(bool(left)))


def main(arguments: list[str]) -> int:
    """Pytest's exit code, the worse one of two; 1 when there can be no cluster."""
    short = "--short" in arguments
    arguments = [one for one in arguments if one != "--short"]
    which = "cluster and not long" if short else "cluster"
    places, given = Places.usual(), os.environ.get("KUBECONFIG")
    against = [] if given else reasons_against(places.cache)
    if against:
        say(f"no KUBECONFIG, and no Kubernetes of our own: {'; '.join(against)}")
        return 1
    try:
        provide_clients(places, say)
        code = templates(short, arguments)
        if given:
            return max(code, pytest("tests/cluster", "-m", which, *arguments))
        return max(code, on_our_node(which, arguments))
    except DemoError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
