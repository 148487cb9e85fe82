"""What one trace tells about its request. Pure; the shapes are those of Dynamo 1.4, others are told less about.

A healthy request is `http-request` (frontend) > `route_request` > `handle_payload` (worker), with a second pair for
prefill where that is apart. An error status proves nothing: a migration that saved the request leaves one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitor.trace.span import STATUS_ERROR, Span

FRONTEND_SPAN = "http-request"
ROUTE_SPANS = "route_request"
"""`router.route_request` and `kv_router.route_request`."""
CANCELLED = "cancelled"
_UNREACHED = re.compile(r"refused|(?<!dis)connect|timed out|timeout|no workers|unreachable|not ready", re.IGNORECASE)


class Place(StrEnum):
    """Where a failed request ended."""

    FRONTEND = "frontend"
    """Before it was routed, or with the frontend, whose span is gone."""
    ROUTE = "route"
    """It could not be handed to the instance that was chosen for it."""
    PREFILL = "prefill"
    DECODE = "decode"
    """On the worker that writes the answer; also where prefill is not apart."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's spans, sorted into what they are."""

    root: Span | None
    """The span that was begun by our own request."""
    routes: tuple[Span, ...]
    """By start."""
    work: tuple[Span, ...]
    spans: tuple[Span, ...]

    @classmethod
    def of(cls, trace_id: bytes, spans: Sequence[Span]) -> Trace:
        """From spans in any order."""
        # The probe sends the second half of the trace id as the id of its own span.
        root = next((s for s in spans if s.parent_id == trace_id[8:]), None)
        routes = sorted((s for s in spans if s.name.endswith(ROUTE_SPANS)), key=lambda s: s.start_ns)
        return cls(root, tuple(routes), tuple(s for s in spans if s.instance), tuple(spans))

    @property
    def life(self) -> tuple[int, int] | None:
        """Begin and end; None when no clock can be true. The frontend's word counts: a worker that was stopped and
        goes on later ends its span long after everybody has left."""
        if self.root is not None and not self.root.odd_clock:
            return self.root.start_ns, self.root.end_ns
        sane = [s for s in self.spans if not s.odd_clock]
        return (min(s.start_ns for s in sane), max(s.end_ns for s in sane)) if sane else None

    @property
    def attempts(self) -> int:
        """How often the server tried to go on elsewhere: what Dynamo's migration counter counts."""
        return sum(s.moved_on + s.tried_again for s in self.spans)

    @property
    def tried_again(self) -> bool:
        return any(s.tried_again for s in self.spans)

    @property
    def cancelled(self) -> bool:
        return any(s.error_type == CANCELLED for s in self.spans)

    @property
    def has_error_status(self) -> bool:
        return self.root is not None and self.root.status == STATUS_ERROR

    @property
    def called_success(self) -> bool:
        """The server says that the request ended well."""
        return self.root is not None and self.root.completed == "success"


@dataclass(frozen=True, slots=True)
class Instances:
    """What is known of the instances, from the spans that they sent while they lived."""

    component: Mapping[str, str]
    service: Mapping[str, str]

    @classmethod
    def of(cls, traces: Iterable[Trace]) -> Instances:
        """From all traces at hand."""
        work = [s for trace in traces for s in trace.work]
        return cls({s.instance: s.component for s in work}, {s.instance: s.service for s in work})

    def name(self, instance: str) -> str:
        """For people: the service's name, where known, and the id."""
        service = self.service.get(instance)
        return f"{service} {instance}" if service else instance

    def place(self, instance: str, *, first_of_two: bool) -> Place:
        """What the instance does.

        One that was killed before it had sent any span is known by its turn: where prefill is apart it comes first.
        """
        component = self.component.get(instance)
        prefill = first_of_two if component is None else component == "prefill"
        return Place.PREFILL if prefill else Place.DECODE


def usual_routes(good: Iterable[Trace]) -> int:
    """How often a request is routed when all is well: once, or twice where prefill is apart."""
    counts = Counter(len(t.routes) for t in good if t.root is not None and t.routes)
    return counts.most_common(1)[0][0] if counts else 1


def died(trace: Trace, instances: Instances, usual: int) -> tuple[Place, str]:
    """Where a request that failed for the client ended, and on which instance ('' when on none); see `usual_routes`."""
    if trace.root is None:
        # Its children arrived and it did not: it was in the memory of a frontend that is gone.
        return Place.FRONTEND, ""
    if not trace.routes:
        return (Place.FRONTEND if trace.root.name == FRONTEND_SPAN else Place.UNKNOWN), ""
    chosen = trace.routes[-1]
    instance = chosen.target
    place = instances.place(instance, first_of_two=len(trace.routes) < usual)
    on_it = next((s for s in trace.work if s.instance == instance), None)
    if on_it is not None:
        settled = trace.called_success and on_it.status != STATUS_ERROR
        return (Place.UNKNOWN if settled else place), instance
    if trace.root.output_tokens or not _unreached(trace, chosen):
        return place, instance
    return Place.ROUTE, instance


def _unreached(trace: Trace, chosen: Span) -> bool:
    texts = [s.error for s in (trace.root, chosen) if s is not None and s.error]
    return any(_UNREACHED.search(text) for text in texts) or not texts
