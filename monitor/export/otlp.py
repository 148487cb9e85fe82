"""Whether and how telemetry is pushed: only when the standard OTEL_* variables ask for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource

log = logging.getLogger(__name__)


def wanted(signal: str, env: Mapping[str, str]) -> bool:
    """Whether OTLP/HTTP push is asked for; `signal` is METRICS or TRACES. Says so when what is asked is not there."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    endpoint = env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint or env.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    protocol = env.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol and protocol.strip().lower() != "http/protobuf":
        log.warning(
            "OTLP push of %s is off: protocol %r is asked for, only http/protobuf is there", signal.lower(), protocol
        )
        return False
    return True


def metric_push(env: Mapping[str, str]) -> MetricReader | None:
    """A reader that pushes every OTEL_METRIC_EXPORT_INTERVAL, from a thread of its own; None when not asked for."""
    if not wanted("METRICS", env):
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - rarely needed
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    return PeriodicExportingMetricReader(OTLPMetricExporter())


def resource(deployment: str | None = None) -> Resource:
    """Who we are; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come on top."""
    ours = {SERVICE_NAME: "aftershock", SERVICE_VERSION: version("aftershock")}
    if deployment is not None:
        ours["aftershock.deployment"] = deployment
    return Resource(ours).merge(OTELResourceDetector().detect())
