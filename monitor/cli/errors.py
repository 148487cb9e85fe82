"""What ends a command, with its exit code."""

from __future__ import annotations

from typing import Any

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130

_START = (
    "start it with `aftershock serve -c CONFIG`, or give its address with --url or AFTERSHOCK_URL, "
    "or with --namespace where the chart put it"
)


class CliError(Exception):
    """Ends a command. The text is what the user sees, mostly one line."""

    code = FAILED


class BadUsage(CliError):
    """Something in the command line or the configuration."""

    code = USAGE


class ConfigMistakes(BadUsage):
    """Mistakes in a configuration, one a line, each with its own place in front."""


class Unreachable(CliError):
    """No aftershock service answers at the address."""

    code = UNREACHABLE

    def __init__(self, url: str, why: str, hint: str = "") -> None:
        self.url = url
        super().__init__(f"no aftershock service at {url} ({why}); {hint or _START}")


class ApiError(CliError):
    """The service answered with an error. `status` is its HTTP status."""

    def __init__(self, status: int, detail: str, body: dict[str, Any]) -> None:
        super().__init__(detail)
        self.status = status
        self.body = body
        self.code = USAGE if status in {401, 404, 422} else FAILED


class Refused(ApiError):
    """The guard refused a run."""
