"""Becomes another program that is told which model there is: `python -m probes.models URL PROGRAM ARGS...`.

The word `{model}` among the arguments becomes the only model that the endpoint lists. When there is none, or more than
one, this ends with one line that says so; the probe then tries again later and has a gap until then.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

from probes.plugin.config import load

LISTED = "{model}"
ASK_SECONDS = 10.0


class NoModel(Exception):
    """Which model to ask for cannot be said; one line."""


def only_model(url: str, headers: Mapping[str, str], timeout_seconds: float = ASK_SECONDS) -> str:
    """The only model of `URL/v1/models`. Raises `NoModel`."""
    address = f"{url}/v1/models"
    request = urllib.request.Request(address, headers=dict(headers))  # noqa: S310 - the configuration allows http and https only
    # As aiperf itself: a proxy that the environment knows is not asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_seconds) as answer:
            listed = json.load(answer)["data"]
            names = sorted({str(one["id"]) for one in listed})
    except (OSError, http.client.HTTPException) as error:
        raise NoModel(f"{address} does not answer, so the model is not known: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise NoModel(f"{address} answers with something that is no list of models") from None
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise NoModel(f"set deployment.endpoint.model: {address} lists {len(names)} models ({there})")
    return names[0]


def main(words: list[str]) -> int:
    """Replace this process; returns only when the model cannot be said."""
    url, *command = words
    config = load(os.environ)
    key = os.environ.get(config.api_key_env or "")
    headers = {**config.headers, **({"Authorization": f"Bearer {key}"} if key else {})}
    try:
        model = only_model(url, headers)
    except NoModel as error:
        sys.stderr.write(f"{error}\n")
        return 1
    command = [model if word == LISTED else word for word in command]
    return os.execvp(command[0], command)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
