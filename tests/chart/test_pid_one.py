"""The first process of a container, as the kubelet ends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a pid namespace of one's own takes root")
def test_sigterm_ends_it_also_while_it_still_starts(tmp_path: Path) -> None:
    # A named pipe as configuration: reading it does not end, so the service stays where it is still starting.
    config = tmp_path / "config.yaml"
    os.mkfifo(config)
    command = ["unshare", "--fork", "--pid", "--kill-child", sys.executable, "-m", "monitor.cli.app"]
    with subprocess.Popen([*command, "serve", "-c", str(config)]) as outer:
        try:
            with config.open("wb"):  # waits until the service reads
                (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text(encoding="ascii").split()
                os.kill(int(inner), signal.SIGTERM)
                deadline = time.monotonic() + 20
                while outer.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                assert outer.poll() == 128 + signal.SIGTERM
        finally:
            outer.kill()
