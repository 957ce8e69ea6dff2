"""The run directory survives being killed at any moment."""

import tarfile
from pathlib import Path

import pytest

from measure.run_info import SCHEMA_VERSION, RunInfo, TargetInfo
from measure.rundir import REQUESTS_FILE, LineWriter, RunDirectory, pack_run
from measure.sweep import quick_plan
from planner.errors import InputError
from tests.measure.build import level, request


def info() -> RunInfo:
    return RunInfo(
        schema_version=SCHEMA_VERSION,
        tool_version="0",
        seed=7,
        plan=quick_plan(budget_s=60, longest_input_tokens=1000),
        target=TargetInfo(kind="gguf", location="model.gguf"),
        sessions=(),
    )


def test_records_come_back_equal(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_info(info())
    requests = [request(start_ms=i, content_ms=[i + 1, i + 2], index=i) for i in range(3)]
    with run.request_writer() as writer:
        for one in requests:
            writer.append(one)
    run.append_level(level(start_ms=0, end_ms=5))
    assert run.read_info() == info()
    assert list(run.read_requests()) == requests
    assert run.read_levels() == [level(start_ms=0, end_ms=5)]
    assert run.dropped == []


def test_every_possible_cut_loses_the_last_line_only_and_says_so(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    requests = [request(start_ms=i, content_ms=[i + 1], index=i) for i in range(3)]
    with run.request_writer() as writer:
        for one in requests:
            writer.append(one)
    path = tmp_path / REQUESTS_FILE
    whole = path.read_bytes()
    start_of_last = whole[:-1].rfind(b"\n") + 1
    for cut in range(start_of_last + 1, len(whole)):
        path.write_bytes(whole[:cut])
        run = RunDirectory(tmp_path)
        assert list(run.read_requests()) == requests[:2]
        assert run.dropped == ["requests.jsonl line 3 was cut short when the program was stopped; left out"]


def test_appending_after_a_cut_starts_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2')
    with LineWriter(path) as writer:
        writer.append({"a": 3})
    assert path.read_bytes() == b'{"a":1}\n{"a":3}\n'


def test_a_file_of_one_half_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"x" * 200_000)
    LineWriter(path).close()
    assert path.read_bytes() == b""


def test_damage_in_the_middle_stops_with_file_and_line(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.request_writer() as writer:
        writer.append(request(start_ms=0, content_ms=[1]))
        writer.append({"level": "x"})
    with pytest.raises(InputError, match=r"requests\.jsonl, line 2: session"):
        list(run.read_requests())


def test_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        RunDirectory(tmp_path).read_info()


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_info(info())
    text = (tmp_path / "run.json").read_text().replace('"schema_version": 1', '"schema_version": 99')
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"schema version 99.*; measure again, or use breakeven 0,"):
        run.read_info()


def test_a_line_that_is_no_json_is_named_without_an_empty_field(tmp_path: Path) -> None:
    (tmp_path / REQUESTS_FILE).write_text("scribble\n")
    with pytest.raises(InputError, match=r"requests\.jsonl, line 1: Invalid JSON"):
        list(RunDirectory(tmp_path).read_requests())


def test_a_directory_that_cannot_be_written_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", Path("/proc/run")):
        with pytest.raises(InputError, match=f"{place} cannot be written .*--out"):
            RunDirectory(place).create()
    RunDirectory(tmp_path / "new" / "run").create()
    assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_packed_run_can_be_read_where_it_is_unpacked(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.write_info(info())
    with run.request_writer() as writer:
        writer.append(request(start_ms=0, content_ms=[1, 2]))
    archive = pack_run(run.path)
    assert archive == tmp_path / "run.tar.gz"
    with tarfile.open(archive) as tar:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in the first releases of 3.11
        tar.extractall(tmp_path / "elsewhere", **safely)  # type: ignore[arg-type]
    copy = RunDirectory(tmp_path / "elsewhere" / "run")
    assert copy.read_info() == info()
    assert list(copy.read_requests()) == list(run.read_requests())


def test_packing_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        pack_run(tmp_path)


def test_a_path_that_is_not_there_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no .*nowhere"):
        RunDirectory(tmp_path / "nowhere").read_info()


def test_a_file_in_the_place_of_the_directory_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match=r"run is a file; a run needs a directory of its own, given with --out"):
        RunDirectory(tmp_path / "run").create()
