"""`AFTERSHOCK_` environment variables on top of the file, read by pydantic-settings."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsError
from pydantic_settings.sources import PydanticBaseSettingsSource

from monitor.config.explain import model_at
from monitor.config.problem import near
from monitor.config.settings import Settings
from monitor.config.yamlfile import Location

PREFIX = "AFTERSHOCK_"
_KUBERNETES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")
"""Variables that Kubernetes sets in every pod beside a Service called aftershock."""


class FileSettings(Settings):
    """Settings made of given values alone; the environment is merged before, so that a mistake has a place."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given values only."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class _Given(EnvSettingsSource):
    """The environment source on a mapping that is handed in."""

    given: Mapping[str, str] = {}

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self.given.items()}


def overlay(env: Mapping[str, str]) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """What the environment sets, and its mistakes as (variable, what, right)."""
    relevant = {name: value for name, value in env.items() if name.upper().startswith(PREFIX)}
    mistakes = [(name, *words) for name in sorted(relevant) if (words := _unknown(name))]
    found: dict[str, Any] = {}
    # One field at a time: a value that cannot be read must not hide the others.
    for field in Settings.model_fields:
        own = {name: value for name, value in relevant.items() if _field_of(name) == field}
        if not own:
            continue
        source = type("_Source", (_Given,), {"given": own})(Settings)
        try:
            found |= source()
        except (SettingsError, ValueError):
            name = min(own)
            mistakes.append((name, "cannot be read", "lists and groups are written as JSON"))
    return found, mistakes


def merged(base: Any, top: Any) -> Any:
    """`top` over `base`, key by key; a group with whole-number keys reaches into a list."""
    if isinstance(base, dict) and isinstance(top, dict):
        both = {key: merged(base[key], top[key]) for key in base if key in top}
        return copy.deepcopy(base) | copy.deepcopy(top) | both
    if isinstance(base, list) and isinstance(top, dict) and top and all(_index_in(key, base) for key in top):
        return [merged(one, top[str(index)]) if str(index) in top else one for index, one in enumerate(base)]
    return copy.deepcopy(top)


def variable_of(location: Location, env: Mapping[str, str]) -> str | None:
    """The environment variable that set a value, if one did."""
    names = {name.upper(): name for name in env}
    for length in range(len(location), 0, -1):
        name = PREFIX + "__".join(str(part) for part in location[:length]).upper()
        if name in names:
            return names[name]
    return None


def _index_in(key: object, base: list[Any]) -> bool:
    return str(key).isascii() and str(key).isdigit() and int(str(key)) < len(base)


def _field_of(name: str) -> str:
    return name.upper().removeprefix(PREFIX).partition("__")[0].lower()


def _unknown(name: str) -> tuple[str, str] | None:
    """What is wrong with a variable that looks like a setting and is none; None for all others."""
    path = name.upper().removeprefix(PREFIX)
    field = _field_of(name)
    if field in Settings.model_fields or _KUBERNETES.search(path):
        return None
    if "__" in path:
        return "is not a setting", near(field, Settings.model_fields)
    for known in Settings.model_fields:
        group: type[BaseModel] | None = model_at((known,), {})
        prefix, inner = path[: len(known) + 1].lower(), path[len(known) + 1 :].lower()
        if group is not None and prefix == f"{known}_" and inner in group.model_fields:
            return (
                "is not a setting",
                f"groups are set off by two underscores: {PREFIX}{known.upper()}__{inner.upper()}",
            )
    return None
