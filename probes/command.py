"""The command line and environment of one aiperf process. Pure: everything it needs is an argument.

Why each flag is there is measured in aiperf 0.13.0: an open loop with no concurrency cap (a cap stalls the rate or, when
connections are refused, sends thousands of requests a second); one line flushed a record; no garbage left outside our folder.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from probes.models import LISTED
from probes.plugin.config import VARIABLE, PluginConfig
from probes.spec import EndpointSpec, ProbeSpec

LIFETIME_SECONDS = 30 * 86_400
"""aiperf wants an end. The probe ends each process long before, once its successor sends."""

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HF_HOME",
    "HF_TOKEN",
    "HF_ENDPOINT",
)


@dataclass(frozen=True, slots=True)
class SegmentPaths:
    """Files of one aiperf process, all below its own folder."""

    root: Path

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def export(self) -> Path:
        return self.artifacts / "profile_export.jsonl"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def hold(self) -> Path:
        return self.root / "hold"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def output(self) -> Path:
        return self.root / "output.log"

    @property
    def log(self) -> Path:
        return self.artifacts / "logs" / "aiperf.log"


def arguments(spec: ProbeSpec, endpoint: EndpointSpec, paths: SegmentPaths, tokenizer: str) -> list[str]:
    """Program and arguments; the first three make it die with its parent."""
    extra: dict[str, object] = {**spec.extra_inputs}
    if spec.ignore_eos:
        extra["ignore_eos"] = True
    command = [sys.executable, "-m", "aiperf", "profile"]
    command += [
        "--model",
        endpoint.model or LISTED,
        "--url",
        endpoint.url,
        "--endpoint-type",
        f"aftershock_{spec.endpoint}",
    ]
    command += ["--request-rate", repr(spec.request_rate), "--arrival-pattern", "constant"]
    command += ["--benchmark-duration", str(LIFETIME_SECONDS)]
    command += ["--benchmark-grace-period", repr(spec.request_timeout_seconds + 5.0)]
    command += ["--request-timeout-seconds", repr(spec.request_timeout_seconds)]
    command += ["--connection-reuse-strategy", "pooled" if spec.reuse_connections else "never"]
    command += ["--isl", str(spec.input_tokens), "--isl-stddev", "0"]
    command += ["--osl", str(spec.output_tokens), "--osl-stddev", "0"]
    command += ["--num-dataset-entries", "100", "--tokenizer", tokenizer, "--use-server-token-count"]
    command += ["--workers-max", "1" if spec.request_rate <= 150 else "4", "--record-processors", "1"]
    command += ["--no-gpu-telemetry", "--no-server-metrics", "--no-auto-plot"]
    command += ["--ui", "none", "--log-level", "error", "--artifact-dir", str(paths.artifacts)]
    # Relative to the working folder: the path of a Unix socket has at most 107 characters.
    command += ["--zmq-ipc-path", "ipc"]
    if spec.streaming:
        command.append("--streaming")
    if extra:
        command += ["--extra-inputs", json.dumps(extra)]
    return command if endpoint.model else [sys.executable, "-m", "probes.models", endpoint.url, *command]


def environment(
    spec: ProbeSpec, endpoint: EndpointSpec, paths: SegmentPaths, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Built from nothing, so that no stray variable (HF_HUB_OFFLINE breaks local tokenizers) changes the load."""
    env = {name: inherited[name] for name in PASSED_ON if name in inherited}
    if endpoint.api_key_env and endpoint.api_key_env in inherited:
        env[endpoint.api_key_env] = inherited[endpoint.api_key_env]
    plugin = PluginConfig(
        journal=str(paths.journal),
        hold=str(paths.hold),
        sample_ratio=spec.trace_sample_ratio,
        require_usage=spec.require_usage,
        api_key_env=endpoint.api_key_env,
        headers=dict(spec.headers),
    )
    return {
        **env,
        VARIABLE: plugin.to_env(),
        "TMPDIR": str(paths.temporary),
        "AIPERF_RECORD_EXPORT_BATCH_SIZE": "1",
        "AIPERF_METRICS_LIST_BACKEND": "tdigest",
        "AIPERF_METRICS_OSL_MISMATCH_PCT_THRESHOLD": "100",
        "AIPERF_HTTP_TTL_DNS_CACHE": "10",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }
