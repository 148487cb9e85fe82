"""Records as columns: what the window mathematics works on.

A row is a request. Missing integers are `MISSING`. Outcomes and error classes are small codes: the
position in `OUTCOMES` and `ERRORS`, which may be stored, so new members go to the end of the enums.
Rows are sorted by start; ties are broken by the other columns, so that the same set of requests
gives the same columns in whatever order and batches it arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probes.record import ErrorClass, Outcome, Record

MISSING = -1
OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
ERRORS: tuple[ErrorClass, ...] = tuple(ErrorClass)
OUTCOME_CODE: Mapping[Outcome, int] = {outcome: code for code, outcome in enumerate(OUTCOMES)}
ERROR_CODE: Mapping[ErrorClass, int] = {error: code for code, error in enumerate(ERRORS)}

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]
Int16 = NDArray[np.int16]
Int8 = NDArray[np.int8]
Bool = NDArray[np.bool_]

_TYPES: Mapping[str, type[np.signedinteger[Any]]] = {
    "start_ns": np.int64,
    "end_ns": np.int64,
    "outcome": np.int8,
    "error": np.int8,
    "probe": np.int16,
    "ttft_ns": np.int64,
    "inter_token_ns": np.int64,
    "max_gap_ns": np.int64,
    "input_tokens": np.int32,
    "output_tokens": np.int32,
    "expected_tokens": np.int32,
}


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Requests as arrays of one length. `probe` holds positions in `probes`, which is sorted."""

    probes: tuple[str, ...]
    start_ns: Int64
    end_ns: Int64
    outcome: Int8
    error: Int8
    probe: Int16
    ttft_ns: Int64
    inter_token_ns: Int64
    max_gap_ns: Int64
    input_tokens: Int32
    output_tokens: Int32
    expected_tokens: Int32

    @classmethod
    def build(cls, probes: Sequence[str], columns: Mapping[str, Iterable[int] | NDArray[Any]]) -> Columns:
        """From raw columns by name, as SQL gives them: any order of rows and probes, None already `MISSING`.

        Raises KeyError for a column that is not there and ValueError for columns of unequal length.
        """
        arrays = {name: _array(columns[name], kind) for name, kind in _TYPES.items()}
        if len({len(a) for a in arrays.values()}) > 1:
            raise ValueError("columns differ in length: " + ", ".join(f"{n}={len(a)}" for n, a in arrays.items()))
        names = tuple(sorted(set(probes)))
        position = np.array([names.index(p) for p in probes], dtype=np.int16)
        if len(arrays["probe"]):
            arrays["probe"] = position[arrays["probe"]]
        order = _order(arrays)
        if order is not None:
            arrays = {name: a[order] for name, a in arrays.items()}
        return cls(probes=names, **arrays)

    @classmethod
    def of(cls, records: Sequence[Record]) -> Columns:
        """From records in any order."""
        names = sorted({r.probe for r in records})
        code = {name: i for i, name in enumerate(names)}
        return cls.build(
            names,
            {
                "start_ns": [r.start_ns for r in records],
                "end_ns": [r.end_ns for r in records],
                "outcome": [OUTCOME_CODE[r.outcome] for r in records],
                "error": [ERROR_CODE[r.error] for r in records],
                "probe": [code[r.probe] for r in records],
                "ttft_ns": [_known(r.ttft_ns) for r in records],
                "inter_token_ns": [_known(r.inter_token_ns) for r in records],
                "max_gap_ns": [_known(r.max_gap_ns) for r in records],
                "input_tokens": [_known(r.input_tokens) for r in records],
                "output_tokens": [_known(r.output_tokens) for r in records],
                "expected_tokens": [_known(r.expected_tokens) for r in records],
            },
        )

    @classmethod
    def empty(cls) -> Columns:
        """No requests of no probe."""
        return cls.of(())

    @classmethod
    def concat(cls, parts: Sequence[Columns]) -> Columns:
        """All rows of all parts, whatever probes they hold."""
        names = tuple(sorted({name for part in parts for name in part.probes}))
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts] or [np.empty(0, kind)])
            for name, kind in _TYPES.items()
        }
        moved = [np.array([names.index(n) for n in p.probes], np.int16)[p.probe] for p in parts if len(p)]
        columns["probe"] = np.concatenate(moved or [np.empty(0, np.int16)])
        return cls.build(names, columns)

    def __len__(self) -> int:
        return len(self.start_ns)

    def where(self, mask: Bool) -> Columns:
        """The rows for which the mask is true; probes keep their positions."""
        return Columns(self.probes, **{name: getattr(self, name)[mask] for name in _TYPES})

    def of_probe(self, name: str) -> Columns:
        """The rows of one probe; none for a name that is not there."""
        if name not in self.probes:
            return self.where(np.zeros(len(self), np.bool_))
        if len(self.probes) == 1:
            return self
        return self.where(self.probe == self.probes.index(name))

    def overlapping(self, begin_ns: int, end_ns: int) -> Columns:
        """The requests whose life touches [begin_ns, end_ns): started before its end, ended at or after its begin."""
        early = self._between(0, int(np.searchsorted(self.start_ns, end_ns)))
        return early.where(early.end_ns >= begin_ns)

    def started(self, begin_ns: int, end_ns: int) -> Columns:
        """The requests that started in [begin_ns, end_ns)."""
        first, last = np.searchsorted(self.start_ns, (begin_ns, end_ns))
        return self._between(int(first), int(last))

    def _between(self, first: int, last: int) -> Columns:
        """Rows by position; a view, not a copy."""
        return Columns(self.probes, **{name: getattr(self, name)[first:last] for name in _TYPES})

    def has(self, *outcomes: Outcome) -> Bool:
        """Mask of the rows that ended in any of the outcomes."""
        wanted = np.zeros(len(OUTCOMES), np.bool_)
        wanted[[OUTCOME_CODE[o] for o in outcomes]] = True
        mask: Bool = wanted[self.outcome]
        return mask


def _known(value: int | None) -> int:
    return MISSING if value is None else value


def _array(values: Iterable[int] | NDArray[Any], kind: type[np.signedinteger[Any]]) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values.astype(kind, copy=False)
    return np.array(list(values), dtype=kind)


def _order(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.intp] | None:
    """The order that sorts the rows; None when starts alone already tell them apart, in order."""
    start = arrays["start_ns"]
    if len(start) < 2 or bool(np.all(start[1:] > start[:-1])):
        return None
    keys = [arrays[name] for name in _TYPES if name != "start_ns"]
    return np.lexsort((*reversed(keys), start))


assert set(_TYPES) == {f.name for f in fields(Columns)} - {"probes"}  # noqa: S101 - a slip here would drop a column in silence
