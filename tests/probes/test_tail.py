"""Files that grow while they are read, and books that always balance."""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from probes.command import SegmentPaths
from probes.parse import Context
from probes.record import ErrorClass, Outcome, Record
from probes.spec import ProbeSpec
from probes.tail import EXPORT_WAIT_NS, LineFile, SegmentTail

CONTEXT = Context(ProbeSpec(name="p"), 0, lambda ns: ns)


def journal_start(number: int, at: int) -> bytes:
    return orjson.dumps({"t": "s", "n": number, "id": f"r{number}", "at": at}) + b"\n"


def journal_end(number: int, at: int, error: str | None = None) -> bytes:
    more = {"error": {"type": error}} if error else {}
    return orjson.dumps({"t": "e", "n": number, "id": f"r{number}", "at": at, "status": 200, **more}) + b"\n"


def export(number: int, error: str | None = None) -> bytes:
    meta = {"session_num": number, "x_request_id": f"r{number}", "request_start_ns": 0, "request_end_ns": 5}
    return orjson.dumps({"metadata": meta, "error": {"type": error} if error else None}) + b"\n"


class Files:
    """A segment's two files, written by hand."""

    def __init__(self, root: Path) -> None:
        self.paths = SegmentPaths(root)
        self.paths.artifacts.mkdir(parents=True)
        self.tail = SegmentTail(CONTEXT, self.paths)

    def write(self, *, journal: bytes = b"", export: bytes = b"") -> None:
        for path, data in ((self.paths.journal, journal), (self.paths.export, export)):
            if data:
                with path.open("ab") as file:
                    file.write(data)

    def poll(self, now: int = 0) -> list[Record]:
        return self.tail.poll(now)[1]


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_come_once_and_whole_however_the_writer_cuts_them(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        reader = LineFile(path)
        assert reader.read() == []  # not there yet
        seen: list[bytes] = []
        for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            with path.open("ab") as file:
                file.write(text[begin:end])
            seen += reader.read()
        reader.close()
    assert seen == [line for line in lines if line]


def test_a_request_is_in_flight_then_a_record(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(journal=journal_start(0, 100))
    assert files.tail.poll(0) == ([100], [])
    assert set(files.tail.books.in_flight) == {"r0"}
    assert [s.request_id for s in files.tail.books.unrecorded] == ["r0"]
    files.write(journal=journal_end(0, 200)[:-9])
    assert files.poll() == []
    files.write(journal=journal_end(0, 200)[-9:])
    assert files.poll() == []  # aiperf's own line is awaited
    assert not files.tail.books.in_flight
    assert [s.request_id for s in files.tail.books.unrecorded] == ["r0"]  # and nobody may overlook it meanwhile
    files.write(export=export(0))
    (record,) = files.poll()
    assert (record.start_ns, record.end_ns, record.outcome) == (100, 200, Outcome.GOOD)
    assert not files.tail.books.unrecorded


def test_a_line_that_aiperf_never_writes_is_not_waited_for_longer_than_two_seconds(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(journal=journal_start(0, 100) + journal_end(0, 200, "TimeoutError"))
    assert files.poll(199 + EXPORT_WAIT_NS) == []
    (record,) = files.poll(200 + EXPORT_WAIT_NS)
    assert (record.error, record.end_ns, record.end_exact) == (ErrorClass.TIMEOUT, 200, True)
    files.write(export=export(0, "TimeoutError"))
    assert files.poll() == []  # late: the request was recorded already
    assert files.tail.books.recorded == 1


def test_without_a_journal_aiperfs_lines_still_become_records(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(export=export(0))
    (record,) = files.poll(50)
    assert (record.end_ns, record.end_exact) == (50, False)
    assert (files.tail.books.sent, files.tail.books.recorded) == (1, 1)


def test_held_requests_were_not_sent(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(journal=journal_start(0, 1) + journal_end(0, 2), export=export(0) + export(1, "aftershock_held"))
    assert len(files.poll()) == 1
    assert (files.tail.books.sent, files.tail.books.unsent) == (1, 1)


def test_torn_lines_cost_only_themselves(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(journal=b'{"t":"s","n":0,"i\n' + journal_start(1, 5))
    assert files.tail.poll(0)[0] == [5]


FATES = st.lists(st.sampled_from(["flying", "ended", "told", "only told", "unsent"]), max_size=30)


@given(FATES)
def test_the_books_balance_whatever_happened(fates: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        records: list[Record] = []
        for number, fate in enumerate(fates):
            if fate in {"flying", "ended", "told"}:
                files.write(journal=journal_start(number, number))
            if fate in {"ended", "told"}:
                files.write(journal=journal_end(number, number + 1))
            if fate in {"told", "only told"}:
                files.write(export=export(number))
            if number % 3 == 0:
                records += files.poll(number)
        records += files.poll(99)
        books = files.tail.books
        assert books.sent == books.recorded + books.lost + len(books.in_flight) + len(books.ended)
        records += books.close(99, "killed")
        files.tail.close()
    sent = [n for n, fate in enumerate(fates) if fate != "unsent"]
    assert sorted(r.session_num for r in records) == sent
    assert books.sent == books.recorded + books.lost == len(sent)
    assert books.lost == fates.count("flying") == sum(r.outcome is Outcome.LOST for r in records)
    assert books.unsent == (max(sent) + 1 - len(sent) if sent else 0)
