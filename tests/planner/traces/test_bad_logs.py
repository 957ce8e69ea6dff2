"""Logs that break off, are named wrongly or say what no cast takes notice of: refused, or read right."""

from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from planner.errors import InputError
from planner.traces.request_log import read_log, read_log_with_all_bad_rows

HEADER = "timestamp,input_tokens,output_tokens\n"


def _log(place: Path, text: str, name: str = "log.csv") -> Path:
    path = place / name
    path.write_text(text, encoding="utf-8")
    return path


def _zst(text: str) -> bytes:
    return bytes(pa.compress(text.encode(), codec="zstd", asbytes=True))


def test_zst_that_breaks_off_is_refused_wherever_it_does(tmp_path: Path) -> None:
    rows = "".join(f"{k / 10},{(k * 7919) % 9973 + 1},{(k * 104729) % 997}\n" for k in range(60_000))
    whole = _zst(HEADER + rows)
    path = tmp_path / "log.csv.zst"
    path.write_bytes(whole)
    assert read_log(path)[0].requests == 60_000
    path.write_bytes(_zst(HEADER) + _zst(rows))  # as `cat a.zst b.zst` makes them
    assert read_log(path)[0].requests == 60_000
    for kept in (3, 10, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match="only a part of one"):
            read_log(path)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        pytest.param(b"\x1f\x8b\x08\x00rest", r"ends in \.gz", id="gz"),
        pytest.param(_zst(HEADER), r"ends in \.zst", id="zst"),
    ],
)
def test_file_that_is_not_what_its_name_says(tmp_path: Path, content: bytes, remedy: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=remedy):
        read_log(path)


@pytest.mark.parametrize("zone", ["CEST", "PST", "Europe/Berlin", "no such zone"])
def test_zone_written_as_a_name_is_a_bad_row(tmp_path: Path, zone: str) -> None:
    path = _log(tmp_path, HEADER + f"2026-10-25 02:30:00 {zone},1,1\n2026-10-25 03:30:00+01:00,1,1\n2026-10-26,1,1\n")
    workload, report = read_log_with_all_bad_rows(path)
    assert [row.line for row in report.bad_rows] == [2]
    assert "names its zone" in report.bad_rows[0].reason
    assert workload.requests == 2


@pytest.mark.parametrize("first", ["01:30:00 +0200", "01:30 +02:00", "01:30:00+02", "23:30:00 GMT", "23:30:00UTC"])
def test_offset_after_a_space_and_greenwich_are_read(tmp_path: Path, first: str) -> None:
    day = 24 if first.startswith("23") else 25
    path = _log(tmp_path, HEADER + f"2026-10-{day} {first},1,1\n2026-10-25T01:30:00Z,1,1\n")
    workload, _ = read_log(path, time_zone="Europe/Berlin")
    assert workload.arrival_s.tolist() == [0.0, 7200.0]  # 23:30 and 01:30 UTC


def test_lines_that_are_no_json_object_say_so(tmp_path: Path) -> None:
    good = '{"timestamp": 0, "input_tokens": 1, "output_tokens": 1}\n'
    path = _log(tmp_path, good + "not json\n" + good.replace("0", "9", 1), "log.jsonl")
    with pytest.raises(InputError, match=r"log\.jsonl:2: it holds neither a time nor tokens"):
        read_log(path)


def test_tokens_of_no_request_are_a_bad_bucket(tmp_path: Path) -> None:
    names = "start_time,end_time,num_model_requests,input_tokens,output_tokens\n"
    path = _log(tmp_path, names + "1700000000,1700003600,10,1000,200\n1700003600,1700007200,0,500,20\n")
    with pytest.raises(InputError, match=r"log\.csv:3: a bucket needs"):
        read_log(path)


def test_one_column_for_two_roles_is_refused(tmp_path: Path) -> None:
    path = _log(tmp_path, HEADER + "0,1,2\n1,3,4\n")
    with pytest.raises(InputError, match="one column stands for two"):
        read_log(path, columns={"input": "output_tokens"})
