"""The built-in catalogue and the control run."""

from __future__ import annotations

import random
from pathlib import Path

from pydantic import TypeAdapter

from faults.base import Fault, PlanContext
from faults.catalogue import builtin
from faults.entry import FaultEntry
from faults.none import NoFault
from faults.process import ProcessKill, ProcessStall
from faults.registry import AnyFault
from faults.targets.local import LocalTarget
from tests.faults.world import run

SUITE_NAMES = {
    *("none", "frontend", "decode_worker", "prefill_worker"),
    *("vllm_decode_engine_core", "vllm_prefill_engine_core"),
    *("sglang_decode_scheduler", "sglang_decode_detokenizer", "sglang_prefill_scheduler", "sglang_prefill_detokenizer"),
    *("trtllm_decode_engine_core", "trtllm_prefill_engine_core"),
}


def test_every_row_of_the_suites_table_is_there() -> None:
    assert set(builtin()) >= SUITE_NAMES


def test_entries_are_valid_data_with_one_sentence_each() -> None:
    entries = builtin()
    sentences = [entry.description for entry in entries.values()]
    assert len(set(sentences)) == len(entries)
    assert all(text.endswith(".") and text.count(". ") == 0 for text in sentences)
    for entry in entries.values():
        assert FaultEntry.model_validate_json(entry.model_dump_json()) == entry


def test_entries_act_as_the_suite_does() -> None:
    entries = builtin()
    frontend, core = entries["frontend"].fault, entries["vllm_decode_engine_core"].fault
    assert isinstance(frontend, ProcessKill)
    assert (frontend.component, frontend.signal) == (("frontend",), "SIGINT")
    assert isinstance(core, ProcessKill)
    assert core.processes is not None
    assert (core.component[0], core.processes.pattern, core.signal) == ("decode", "VLLM::EngineCore", "SIGKILL")
    stall = entries["worker_stall"].fault
    assert isinstance(stall, ProcessStall)
    assert stall.duration_seconds == 8


def test_the_same_data_every_time_and_never_shared() -> None:
    assert builtin() == builtin()
    assert builtin() is not builtin()


def test_facts_fit_the_fields() -> None:
    for entry in builtin().values():
        fault: Fault = entry.fault
        assert fault.duration_seconds_or_zero <= type(fault).facts.longest_seconds
        heals = type(fault).facts.heals
        assert (heals == "by revert") is (fault.duration_seconds_or_zero > 0)


def test_kinds_are_told_apart_by_name() -> None:
    adapter: TypeAdapter[Fault] = TypeAdapter(AnyFault)
    assert isinstance(adapter.validate_python({"kind": "none"}), NoFault)
    assert isinstance(adapter.validate_python({"kind": "process_stall", "component": "worker"}), ProcessStall)


def test_a_control_run_touches_nothing_and_is_no_error(tmp_path: Path) -> None:
    fault, target = NoFault(), LocalTarget("demo")
    instances = run(fault.resolve(target, random.Random(0)))  # noqa: S311 - reproducible choice
    receipt = fault.plan(instances, PlanContext("run", 1, 2, tmp_path))
    run(fault.inject(receipt, target))
    assert instances == ()
    assert receipt.deadline_monotonic_ns is None
    assert run(fault.verify(receipt, target)).summary == "nothing injected (control run)"
    assert run(fault.revert(receipt, None)).outcome == "nothing_to_do"
    assert list(tmp_path.iterdir()) == []
