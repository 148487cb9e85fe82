"""What a Dynamo deployment on loopback consists of, as a document for the supervisor. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Layout = Literal["agg", "disagg"]
Engine = Literal["vllm", "sglang", "trtllm"]
Discovery = Literal["file", "etcd"]
RouterMode = Literal["round-robin", "random", "least-loaded", "power-of-two", "kv"]

RESTART_DELAY_SECONDS = 1.0
MODEL_NAME = "mock"


@dataclass(frozen=True)
class Topology:
    """What a person chooses. `workers` counts the instances of each role."""

    layout: Layout = "agg"
    workers: int = 2
    engine: Engine = "vllm"
    discovery: Discovery = "file"
    migration_limit: int = 0
    router_mode: RouterMode = "round-robin"
    otlp_endpoint: str | None = None
    """Base address of an OTLP/HTTP receiver for Dynamo's spans and logs; off when None."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Component names of the workers."""
        return ("worker",) if self.layout == "agg" else ("prefill", "decode")

    @property
    def worker_instances(self) -> int:
        """Instances of all roles together."""
        return self.workers * len(self.roles)

    @property
    def ports_needed(self) -> int:
        """How many ports `Ports.assign` takes."""
        return 2 + self.worker_instances + (2 if self.discovery == "etcd" else 0)

    def __str__(self) -> str:
        size = f"{self.workers} worker" + ("s" if self.workers > 1 else "")
        each = " of each role" if self.layout == "disagg" else ""
        return f"{self.layout}, {size}{each}, {self.engine}, {self.discovery} discovery"


@dataclass(frozen=True)
class Ports:
    """Who listens where on 127.0.0.1."""

    frontend: int
    nats: int
    system: tuple[tuple[str, tuple[int, ...]], ...]
    """Status and metrics ports of the workers, by role."""
    etcd: tuple[int, int] | None

    @classmethod
    def assign(cls, topology: Topology, free: Sequence[int]) -> Ports:
        """Deal out `topology.ports_needed` free ports."""
        rest = list(free)
        frontend, nats = rest.pop(), rest.pop()
        system = tuple((role, tuple(rest.pop() for _ in range(topology.workers))) for role in topology.roles)
        etcd = (rest.pop(), rest.pop()) if topology.discovery == "etcd" else None
        return cls(frontend=frontend, nats=nats, system=system, etcd=etcd)


@dataclass(frozen=True)
class Programs:
    """Where the programs and the model are."""

    python: Path
    """A Python that has ai-dynamo."""
    nats: Path
    etcd: Path | None
    model: Path


def document(topology: Topology, ports: Ports, programs: Programs) -> dict[str, Any]:
    """The supervisor's document; `{dir}` in it is the state folder that the supervisor is given."""
    backends = [_nats(ports, programs)]
    if ports.etcd is not None:
        backends.append(_etcd(ports.etcd, programs))
    after = [str(backend["name"]) for backend in backends]
    environment = _environment(topology, ports)
    workers = [
        _workers(topology, role, system, programs, environment) | {"start_after": after}
        for role, system in ports.system
    ]
    frontend = _frontend(topology, ports, programs, environment) | {"start_after": after}
    # The supervisor stops in reverse order: the frontend drains while its workers still answer.
    return {"name": "dynamo", "components": [*backends, *workers, frontend]}


def _component(name: str, command: Sequence[object], ready: dict[str, Any], **more: object) -> dict[str, Any]:
    # `always`, because Dynamo's processes exit with code 0 when they lose their etcd lease.
    restart = {"when": "always", "delay_seconds": RESTART_DELAY_SECONDS}
    return {"name": name, "command": [str(part) for part in command], "ready": ready, "restart": restart, **more}


def _nats(ports: Ports, programs: Programs) -> dict[str, Any]:
    command = [programs.nats, "--addr", "127.0.0.1", "--port", ports.nats]
    return _component("nats", command, {"tcp": f"127.0.0.1:{ports.nats}", "timeout_seconds": 30})


def _etcd(ports: tuple[int, int], programs: Programs) -> dict[str, Any]:
    if programs.etcd is None:
        raise ValueError("etcd discovery needs the etcd program")
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    command = [
        *(programs.etcd, "--name", "demo", "--data-dir", "{dir}/etcd", "--logger", "zap"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"demo={peer}"),
    ]
    return _component("etcd", command, {"http": f"{client}/health", "contains": "true", "timeout_seconds": 30})


def _environment(topology: Topology, ports: Ports) -> dict[str, str]:
    """What every Dynamo process needs so that it listens on loopback only and writes into our folder only."""
    environment = {
        "HOME": "{dir}/home",
        "TMPDIR": "{dir}/tmp",
        "PYTHONPATH": "",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
        "DYN_DISCOVERY_BACKEND": topology.discovery,
        "DYN_REQUEST_PLANE": "tcp",
        # Not ZMQ: its publishers listen on 0.0.0.0 and cannot be told otherwise.
        "DYN_EVENT_PLANE": "nats",
        "NATS_SERVER": f"nats://127.0.0.1:{ports.nats}",
        "DYN_TCP_RPC_HOST": "127.0.0.1",
        # The name of an interface: with an address the frontend looks healthy and never lists a model.
        "DYN_TCP_RESPONSE_STREAM_HOST": "lo",
        "DYN_SYSTEM_HOST": "127.0.0.1",
        "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]',
    }
    if ports.etcd is not None:
        environment["ETCD_ENDPOINTS"] = f"http://127.0.0.1:{ports.etcd[0]}"
    else:
        environment["DYN_FILE_KV"] = "{dir}/discovery"
    if topology.otlp_endpoint is not None:
        environment |= {
            "OTEL_EXPORT_ENABLED": "true",
            "OTEL_SERVICE_NAME": "{name}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": topology.otlp_endpoint,
        }
    return environment


def _workers(
    topology: Topology, role: str, system: Sequence[int], programs: Programs, environment: dict[str, str]
) -> dict[str, Any]:
    command: list[object] = [
        *(programs.python, "-m", "dynamo.mocker", "--model-path", programs.model, "--model-name", MODEL_NAME),
        *("--engine-type", topology.engine),
    ]
    if topology.layout == "disagg":
        command += ["--disaggregation-mode", role]
    return _component(
        role,
        command,
        {"http": "http://127.0.0.1:{DYN_SYSTEM_PORT}/health", "contains": '"ready"', "timeout_seconds": 60},
        replicas=topology.workers,
        env=environment,
        instances=[{"env": {"DYN_SYSTEM_PORT": str(port)}} for port in system],
    )


def _frontend(topology: Topology, ports: Ports, programs: Programs, environment: dict[str, str]) -> dict[str, Any]:
    command = [
        *(programs.python, "-m", "dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", ports.frontend),
        *("--router-mode", topology.router_mode, "--migration-limit", topology.migration_limit),
    ]
    models = f"http://127.0.0.1:{ports.frontend}/v1/models"
    # /health answers 200 before anything can be served; the list of models does not.
    ready = {"http": models, "contains": f'"{MODEL_NAME}"', "timeout_seconds": 60}
    return _component("frontend", command, ready, env=environment)
