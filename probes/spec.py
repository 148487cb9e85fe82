"""What a probe is told to do."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]
"""A short name, safe as a metric label, a folder and a Kubernetes name."""


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// address with a host, such as http://127.0.0.1:8000")
    return value.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http_url)]


def _base_url(value: str) -> str:
    if urlsplit(value).path.endswith("/v1"):
        raise ValueError(f"must be without /v1, which every request adds: {value.removesuffix('/v1')}")
    return value


BaseUrl = Annotated[HttpUrl, AfterValidator(_base_url)]


class SlowLimits(BaseModel):
    """Beyond any of these an answer that arrived in full is `slow`, which counts as bad (seconds)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_token_seconds: float = Field(default=2.0, gt=0, description="Longest wait for the first token.")
    gap_seconds: float = Field(default=2.0, gt=0, description="Longest silence between two chunks of a stream.")
    total_seconds: float | None = Field(default=None, gt=0, description="Longest whole request; no limit by default.")


class ProbeSpec(BaseModel):
    """A continuous load with a fixed, open-loop request rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="Name of the probe; a metric label.")
    request_rate: float = Field(
        default=2.0, gt=0, le=500, description="Requests started per second, whatever the answers do."
    )
    endpoint: Literal["chat", "completions"] = Field(default="chat", description="OpenAI API to call.")
    streaming: bool = Field(default=True, description="Ask for a stream; False waits for one whole answer.")
    input_tokens: int = Field(default=64, ge=1, description="Length of the prompts, in tokens of `tokenizer`.")
    output_tokens: int = Field(default=32, ge=1, description="Length that every answer must have.")
    ignore_eos: bool = Field(
        default=True,
        description="Ask for exactly output_tokens; an answer of another length is then a failure. Switch off for servers that do not know ignore_eos.",
    )
    require_usage: bool = Field(
        default=True,
        description="A stream without its usage report counts as truncated. Switch off for servers that never report usage.",
    )
    request_timeout_seconds: float = Field(
        default=30.0, gt=0, description="After this a request without an end is a failure."
    )
    overdue_seconds: float = Field(
        default=5.0, gt=0, description="A request in flight for longer is overdue, long before its timeout."
    )
    slow: SlowLimits = Field(default=SlowLimits(), description="Limits beyond which a full answer is slow.")
    reuse_connections: bool = Field(
        default=False,
        description="Keep connections between requests; by default each request opens its own, so that a listener that is gone is seen at once.",
    )
    rotate_seconds: float = Field(
        default=3600.0, ge=30, description="Length of one aiperf process; the next one starts before it ends."
    )
    tokenizer: str = Field(
        default="builtin",
        description="Tokenizer for synthetic prompts: builtin (made on the spot, no model hub), a folder, or a model hub name.",
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Further request headers.")
    extra_inputs: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Further top-level fields of the request body."
    )
    trace_sample_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Share of requests whose traceparent is marked as sampled."
    )

    @property
    def interval_ns(self) -> int:
        """Time between two request starts: the resolution of everything this probe can say."""
        return round(1e9 / self.request_rate)


class EndpointSpec(BaseModel):
    """Where a probe sends its requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: BaseUrl = Field(description="Base address of the OpenAI-compatible server, without /v1.")
    model: str | None = Field(
        default=None, min_length=1, description="Model name to ask for; by default the only one that /v1/models lists."
    )
    api_key_env: str | None = Field(default=None, description="Environment variable that holds the API key.")
