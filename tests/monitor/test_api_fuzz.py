"""The API against its own OpenAPI document (schemathesis): no 5xx, no status, type or body that it does not tell of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from monitor.api.app import make_app
from monitor.model import Phase, Verdict
from tests.monitor.test_api import Face
from tests.support.records import run as make_run
from tests.support.serving import served as served_app

EXAMPLES = 30


@dataclass
class Served:
    """An application on loopback, with an event loop of its own that outlives a request."""

    url: str
    face: Face


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    face = Face(Path(tmp_path_factory.mktemp("api")))
    face.store.saved.append(make_run(1, phase=Phase.FINISHED, verdict=Verdict.RECOVERED, t_inject=1, t_effect=2))
    with served_app(make_app(face)) as url:
        yield Served(url, face)


# pytest wants the operations before it makes fixtures; the document is the same for every service
operations = schemathesis.openapi.from_dict(make_app(Face(Path("nowhere"))).openapi()).exclude(path="/api/v1/live")
"""All but the stream, which has no end."""


@operations.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_its_word(served: Served, case: schemathesis.Case) -> None:
    case.call_and_validate(base_url=served.url, timeout=10)


def test_the_document_alone_is_enough_to_begin_a_run(served: Served) -> None:
    """Its example does, so the answers above are not refusals only."""
    begun = [run for run in served.face.store.saved if run.fault_name == "none" and run.phase is not Phase.REQUESTED]
    assert begun
