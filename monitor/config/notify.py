"""Settings: who is told how runs ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from monitor.config.section import Section
from probes.spec import HttpUrl, Name


class NotifySpec(Section):
    """One place that is told."""

    name: Name = Field(description="Name of this place; a metric label.")
    kind: Literal["webhook", "slack", "alertmanager"] = Field(
        description="What is sent: our JSON, a message as Slack's incoming webhooks take it, or alerts to Alertmanager's API."
    )
    url: HttpUrl | None = Field(
        default=None, description="Where to; for an Alertmanager its base address. Or give url_env."
    )
    url_env: str | None = Field(
        default=None, description="Environment variable that holds the address, where that is a secret, as Slack's is."
    )
    token_env: str | None = Field(
        default=None, description="Environment variable that holds a bearer token to send along."
    )
    when: Literal["trouble", "all"] = Field(
        default="trouble",
        description="trouble: objectives missed, and every verdict but recovered, no_impact and skipped; all: every run "
        "that was not skipped.",
    )

    @model_validator(mode="after")
    def _one_address(self) -> NotifySpec:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs an address: url, or url_env with the name of the variable that holds it")
        return self
