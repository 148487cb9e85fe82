"""A real PostgreSQL for tests: Debian's programs on a folder of their own, behind a port of the loopback."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import pytest
from psycopg import sql

from tests.support.debian import NotFetchedError, libraries, skip_or_fail, unpacked
from tests.support.monitor import free_port, wait_for

PACKAGES = ("postgresql-15",)
NOBODY = 65534
USER = "tester"
PASSWORD = secrets.token_hex(8)
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "16MB",
    # A test kills the server, never the machine.
    "fsync": "off",
    "log_min_messages": "fatal",
}


class Programs:
    """The folder of the programs, and the environment that they need."""

    def __init__(self, folder: Path, with_libraries: str = "") -> None:
        self.folder = folder
        self.env: Mapping[str, str] = {
            "PATH": os.environ.get("PATH", ""),
            "LC_ALL": "C",
            **({"LD_LIBRARY_PATH": with_libraries} if with_libraries else {}),
        }

    def command(self, name: str, *arguments: object) -> list[str]:
        """PostgreSQL refuses to be root."""
        plain = [str(self.folder / name), *map(str, arguments)]
        if os.geteuid() != 0:
            return plain
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *plain]


@functools.cache
def programs() -> Programs:
    """The system's, or Debian's unpacked below .tools. Skips the test where there are none to be had."""
    if installed := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return Programs(installed[-1].parent)
    try:
        root = unpacked("postgresql", PACKAGES)
    except NotFetchedError as error:
        skip_or_fail(f"no PostgreSQL is installed, and {error}")
    root = _where_nobody_may_go(root)
    return Programs(next(root.glob("usr/lib/postgresql/*/bin")), libraries(root))


def _where_nobody_may_go(root: Path) -> Path:
    """The same, or for a checkout that is closed to others, such as one below /root, links to it that are not."""
    if os.geteuid() != 0 or all(place.stat().st_mode & 0o001 for place in root.parents):
        return root
    open_to_all = Path(tempfile.mkdtemp(prefix="aftershock-postgresql-"))
    atexit.register(shutil.rmtree, open_to_all, ignore_errors=True)
    open_to_all.chmod(0o755)
    shutil.copytree(root / "usr", open_to_all / "usr", symlinks=True, copy_function=_link)
    return open_to_all


def _link(source: str, to: str) -> None:
    """Without taking room, where it is the same file system."""
    try:
        os.link(source, to)
    except OSError:
        shutil.copy2(source, to)


class Server:
    """One server. `start` and `stop` as often as needed; `kill` and `freeze` hit all of its processes."""

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = dict(SETTINGS)
        self._names = (f"d{n}" for n in itertools.count(1))
        words = folder / "password"
        words.write_text(PASSWORD, encoding="utf-8")
        self.own(folder, words)
        options = ["-U", USER, f"--pwfile={words}", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", "--locale=C"]
        self._run("initdb", "-D", self.data, *options)

    @staticmethod
    def own(*paths: Path) -> None:
        """Give them to the server's user."""
        for path in paths if os.geteuid() == 0 else ():
            os.chown(path, NOBODY, NOBODY)

    def _run(self, name: str, *arguments: object) -> None:
        command = self._programs.command(name, *arguments)
        subprocess.run(command, env=self._programs.env, cwd=self._folder, capture_output=True, check=True, timeout=120)

    def start(self, **settings: str) -> Self:
        """Start (again, with what was set before) and wait until it answers."""
        self._settings |= settings
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        command = self._programs.command("postgres", "-D", self.data, "-k", self._folder, "-p", self.port, *options)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._programs.env, cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )
        wait_for("PostgreSQL to answer", self._answers, 60)
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()[-2000:]
        with contextlib.suppress(psycopg.OperationalError):
            self.ask("select 1")
            return True
        return False

    def allow(self, network: str) -> None:
        """Let others in who know the password."""
        with (self.data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write(f"host all all {network} scram-sha-256\n")
        self.ask("select pg_reload_conf()")

    def log(self) -> str:
        """What it wrote so far."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def _signal(self, number: int) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to every process, as a crash of its container would."""
        family = self._family()
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)
        psutil.wait_procs(family, timeout=10)

    def freeze(self) -> None:
        """SIGSTOP to every process: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """The end of that."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGINT, which ends sessions and writes everything down."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD, scheme: str = "postgresql") -> str:
        """What goes into store.url."""
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """The URL of a new, empty database."""
        name = next(self._names)
        self.ask(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.url(name)

    def ask(self, query: sql.Composed | str, url: str | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query by the first user, in the database of a URL."""
        with psycopg.connect(url or self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            found = connection.execute(sql.SQL(query) if isinstance(query, str) else query)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []


@contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A running server; ended, with its folder gone, at the end."""
    # Not below pytest's own folders, which another user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="aftershock-postgres-"))
    folder.chmod(0o755)
    made = None
    try:
        made = Server(folder)
        yield made.start(**settings)
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One for all tests that leave it running."""
    with server() as made:
        yield made


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """One that a test may kill."""
    with server() as made:
        yield made
