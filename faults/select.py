"""Which of several: the selectors of instances and of processes."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from faults.base import Frozen

T = TypeVar("T")

FORMS = "first, all, random, index:N or percent:P"


def _as_text_schema(schema: dict[str, Any]) -> None:
    """People and the API write a selector as text, so its schema is that of a string."""
    schema.clear()
    schema.update({"type": "string", "title": "Selector", "description": FORMS, "examples": ["first", "percent:50"]})


class Selector(Frozen):
    """Picks from an ordered list. Written as text: `first`, `all`, `random`, `index:1`, `percent:50`."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_as_text_schema)

    pick: Literal["first", "all", "random", "index", "percent"] = "first"
    value: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        if isinstance(given, str):
            pick, _, value = given.strip().partition(":")
            return {"pick": pick.strip(), "value": value.strip() or None} if value else {"pick": pick.strip()}
        if isinstance(given, dict) and len(given) == 1:
            ((key, value),) = given.items()
            if key in {"index", "percent"}:
                return {"pick": key, "value": value}
        return given

    @field_validator("pick", mode="before")
    @classmethod
    def _known(cls, given: object) -> object:
        if given not in {"first", "all", "random", "index", "percent"}:
            raise ValueError(f"{given!r} is not a selector; write {FORMS}")
        return given

    @model_validator(mode="after")
    def _value_fits(self) -> Selector:
        if self.pick == "index":
            if self.value is None or self.value < 0 or self.value != int(self.value):
                raise ValueError("index needs a whole number from 0, such as index:1")
        elif self.pick == "percent":
            if self.value is None or not 0 < self.value <= 100:
                raise ValueError("percent needs a number above 0 and up to 100, such as percent:50")
        elif self.value is not None:
            raise ValueError(f"{self.pick} takes no number; write {FORMS}")
        return self

    @model_serializer(mode="plain")
    def _to_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return self.pick if self.value is None else f"{self.pick}:{self.value:g}"

    def apply(self, ordered: Sequence[T], rng: random.Random) -> tuple[T, ...]:
        """The picked ones in their order; empty when there are none, or none of that index.

        `percent` picks at random and rounds up, at least one: 50 % of 3 are 2, 1 % of 3 is 1.
        """
        if not ordered:
            return ()
        if self.pick == "all":
            return tuple(ordered)
        if self.pick == "random":
            return (ordered[rng.randrange(len(ordered))],)
        if self.pick == "percent":
            chosen = rng.sample(range(len(ordered)), self._share_of(len(ordered)))
            return tuple(ordered[index] for index in sorted(chosen))
        index = int(self.value or 0)
        return tuple(ordered[index : index + 1])

    def _share_of(self, count: int) -> int:
        # Rounded first, so that 100/3 percent of 3 is 1 and not 2 by a float's last bit.
        return min(count, max(1, math.ceil(round(count * (self.value or 0.0) / 100, 9))))


class ProcessSelector(Frozen):
    """Processes inside an instance, by their command lines. As text: the pattern alone, meaning the first."""

    pattern: str = Field(min_length=1, description="Regular expression that the command line must contain.")
    pick: Selector = Field(default=Selector(), description=f"Which of the matches, by pid: {FORMS}.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        return {"pattern": given} if isinstance(given, str) else given

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return pattern


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts `worker-2` before `worker-10`."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def shortened(texts: Iterable[str], *, most: int = 6, width: int = 60) -> str:
    """A list for one line: the first few, each cut to a width."""
    every = list(texts)
    shown = [text if len(text) <= width else text[: width - 3] + "..." for text in every[:most]]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return (", ".join(shown) + more) or "nothing"
