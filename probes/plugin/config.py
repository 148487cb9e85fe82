"""What the probe tells our plugins, through one environment variable.

The environment and not the command line: headers may hold secrets, and command lines are public on a machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

VARIABLE = "AFTERSHOCK_PROBE"


@dataclass(frozen=True, slots=True)
class PluginConfig:
    """Settings of one aiperf process. Without them the endpoints still judge; they only keep no journal."""

    journal: str | None = None
    """File to which a line is appended at each start and end of a request."""
    hold: str | None = None
    """While this file exists no further request is started; those in flight go on."""
    sample_ratio: float = 1.0
    require_usage: bool = True
    api_key_env: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def to_env(self) -> str:
        """The value for the environment variable."""
        return json.dumps(asdict(self))

    @property
    def hold_path(self) -> Path | None:
        return Path(self.hold) if self.hold else None


def load(environ: Mapping[str, str] | None = None) -> PluginConfig:
    """Read the variable. Raises ValueError when it is set to something that this version does not know."""
    text = (os.environ if environ is None else environ).get(VARIABLE)
    if not text:
        return PluginConfig()
    try:
        return PluginConfig(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{VARIABLE} must be the JSON that the probe writes: {error}") from error
