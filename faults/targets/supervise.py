"""`aftershock supervise FILE --state DIR`, also `python -m faults.targets.supervise`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faults.targets.spec import SpecError, load, prepare
from faults.targets.state import StateWriter
from faults.targets.supervisor import Supervisor

BAD_USAGE = 2
LOCK_FILE = "supervisor.lock"


def supervise(file: Path, state: Path) -> int:
    """Run the processes of a file until SIGTERM or SIGINT. Exit code: 0, or 2 for a file or folder that is no use."""
    try:
        spec = load(file)
        folder = state.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            prepared = prepare(spec, folder, os.environ)
            writer = StateWriter(folder)
            asyncio.run(Supervisor(spec.name, prepared, writer, os.environ).run())
    except SpecError as error:
        for line in error.lines:
            sys.stderr.write(f"{line}\n")
        return BAD_USAGE
    except OSError as error:
        sys.stderr.write(f"{error.filename or state}: {error.strerror}\n")
        return BAD_USAGE
    return 0


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two supervisors never write the same folder."""
    with (folder / LOCK_FILE).open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpecError([f"{folder}: another supervisor runs in this state folder"]) from None
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of `python -m faults.targets.supervise`."""
    parser = argparse.ArgumentParser(prog="aftershock supervise", description="Run the processes of a YAML file.")
    parser.add_argument("file", type=Path, help="YAML file with the components")
    parser.add_argument("--state", type=Path, required=True, help="state folder, written by this supervisor")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    # Every ready check would otherwise be a line.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return supervise(arguments.file, arguments.state)


if __name__ == "__main__":
    sys.exit(main())
