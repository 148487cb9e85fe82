"""The rig by hand: `python -m tests.cluster.rig build|up|down|clients|why-not`."""

from __future__ import annotations

import sys
import time

from monitor.demo.errors import DemoError
from tests.cluster.rig.clients import provide_clients
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import Places
from tests.cluster.rig.preflight import reasons_against
from tests.cluster.rig.trees import make_all

BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", file=sys.stderr, flush=True)


def main(words: list[str]) -> int:
    """0 when it worked, 1 when it did not, 2 for bad usage, 3 when why-not has a reason."""
    places = Places.usual()
    against = reasons_against(places.cache)
    if words == ["why-not"]:
        if against:
            print("; ".join(against))
        return 3 if against else 0
    if against and words != ["clients"]:
        print("\n".join(against), file=sys.stderr)
        return 1
    try:
        match words:
            case ["build"]:
                make_all(places, say)
            case ["clients"]:
                print("\n".join(str(path) for path in provide_clients(places, say).values()))
            case ["up"]:
                print(f"export KUBECONFIG={Node(places, say).up()}")
            case ["down"]:
                Node(places, say).down()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except DemoError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
