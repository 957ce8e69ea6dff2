"""Logs are read as written: real files, every kind of time, every bad row by its line."""

import gzip
from pathlib import Path

import duckdb
import numpy as np
import pytest

from planner.errors import InputError
from planner.traces.request_log import read_log, read_log_with_all_bad_rows
from planner.workload import summarise_workload

HEADER = "timestamp,input_tokens,output_tokens\n"


def _file(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_azure_log_as_published(azure_log: Path) -> None:
    workload, report = read_log(azure_log)
    summary = summarise_workload(workload)
    assert (report.format, report.rows, report.bad_rows) == ("azure", 8819, ())
    assert round(summary.input_tokens.mean) == 2048
    assert (summary.input_tokens.p50, summary.input_tokens.max) == (1469, 7437)
    assert round(summary.input_tokens.p95) == 7303
    assert (round(summary.output_tokens.mean), summary.output_tokens.p50, summary.output_tokens.p95) == (28, 13, 90)
    assert summary.peak_to_mean_1min == pytest.approx(4.2, abs=0.05)
    # first and last line of the file, by hand: 18:17:03.97996 and 19:14:19.928016
    assert workload.span_s == pytest.approx(3435.948056, abs=1e-6)
    assert workload.starts_at is not None
    assert workload.starts_at.startswith("2023-11-16T18:17:03.97996")


def test_times_keep_100_ns(tmp_path: Path) -> None:
    rows = "2023-11-16 18:17:03.9799600,1,1\n2023-11-16 18:17:03.9799601,1,1\n2023-11-16 18:17:04,1,1\n"
    workload, _ = read_log(_file(tmp_path, "TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows))
    assert workload.arrival_s == pytest.approx([0.0, 1e-7, 0.02004], abs=1e-10)


def test_mooncake_times_are_milliseconds(tmp_path: Path) -> None:
    rows = [
        '{"timestamp": 0, "input_length": 40160, "output_length": 6, "hash_ids": [0, 1]}',
        '{"timestamp": 2500, "input_length": 36640, "output_length": 4, "hash_ids": [79]}',
    ]
    path = tmp_path / "trace.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    workload, report = read_log(path)
    assert report.format == "mooncake"
    assert workload.arrival_s.tolist() == [0.0, 2.5]
    assert workload.input_tokens.tolist() == [40160, 36640]
    assert workload.starts_at is None


@pytest.mark.parametrize(
    ("first", "second", "seconds"),
    [
        ("0.5", "2.0", 1.5),
        ("1700158623", "1700158625", 2.0),
        ("1700158623000", "1700158624500", 1.5),
        ("1700158623000000000", "1700158624500000000", 1.5),
        ("2023-11-16T18:17:03Z", "2023-11-16T19:17:04+01:00", 1.0),
        ("2023-11-16T18:17:03+0200", "2023-11-16T16:17:04.5Z", 1.5),
    ],
)
def test_every_kind_of_time(tmp_path: Path, first: str, second: str, seconds: float) -> None:
    workload, _ = read_log(_file(tmp_path, f"{HEADER}{first},10,5\n{second},10,5\n"))
    assert workload.arrival_s == pytest.approx([0.0, seconds], abs=1e-6)


def test_rows_out_of_order_are_sorted_and_said(tmp_path: Path) -> None:
    workload, report = read_log(_file(tmp_path, f"{HEADER}3,30,1\n1,10,1\n2,20,1\n"))
    assert workload.input_tokens.tolist() == [10, 20, 30]
    assert np.all(np.diff(workload.arrival_s) >= 0)
    assert "sorted" in report.notes[0]


def test_a_clock_that_was_set_back_is_said(tmp_path: Path) -> None:
    rows = "2023-10-29 02:59:50,1,1\n2023-10-29 02:00:05,1,1\n2023-10-29 03:00:00,1,1\n"
    _, report = read_log(_file(tmp_path, HEADER + rows))
    assert "go back by an hour" in report.notes[1]
    with_offset = "2023-10-29 02:59:50+02:00,1,1\n2023-10-29 02:00:05+01:00,1,1\n2023-10-29 03:00:00+01:00,1,1\n"
    workload, report = read_log(_file(tmp_path, HEADER + with_offset))
    assert report.notes == ()
    assert workload.arrival_s == pytest.approx([0.0, 15.0, 3610.0])


def test_bad_rows_by_physical_line(tmp_path: Path) -> None:
    text = f'{HEADER}1,10,1\n\n2,ten,1\n3,10,1,9\n4,10\n"5",10,1\nyesterday,10,1\n6,0,1\n7,10,-1\n8,1.5,1\n'
    path = _file(tmp_path, text)
    workload, report = read_log_with_all_bad_rows(path)
    assert workload.requests == 2
    assert [row.line for row in report.bad_rows] == [4, 5, 6, 8, 9, 10, 11]
    assert "no number: 'ten'" in report.bad_rows[0].reason
    assert "Columns" in report.bad_rows[1].reason
    assert report.bad_rows[2].reason == "the output tokens are missing"
    assert "time cannot be read" in report.bad_rows[3].reason
    with pytest.raises(InputError, match=r"log\.csv:4: .*'ten'.*7 of 9 rows .*--allow-bad-rows 7"):
        read_log(path, max_bad_rows=6)
    assert read_log(path, max_bad_rows=7)[0].requests == 2


def test_a_usage_export_is_dealt_into_requests(tmp_path: Path) -> None:
    """3 requests of 100 prompt and 7 output tokens in a minute, none in the next, 1 in the third."""
    header = "start_time,end_time,project_id,num_model_requests,model,input_tokens,output_tokens,input_cached_tokens\n"
    rows = (
        "1730419200,1730419260,p,3,m,100,7,0\n1730419260,1730419320,p,0,m,0,0,0\n1730419320,1730419380,p,1,m,50,5,0\n"
    )
    workload, report = read_log(_file(tmp_path, header + rows))
    assert report.format == "openai-usage"
    assert workload.arrival_s == pytest.approx([0.0, 20.0, 40.0, 140.0])
    assert workload.input_tokens.tolist() == [34, 33, 33, 50]
    assert workload.output_tokens.tolist() == [3, 2, 2, 5]
    assert "usage export" in report.notes[0]
    with pytest.raises(InputError, match=r"log\.csv:2: a bucket needs"):
        read_log(_file(tmp_path, header + "1730419200,1730419200,p,3,m,100,7,0\n" + rows))


def test_burstgpt_columns(tmp_path: Path) -> None:
    text = (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,Conversation log\n"
    )
    workload, report = read_log(_file(tmp_path, text + "45.5,GPT-4,1087,230,1317,API log\n"))
    assert (report.format, workload.span_s) == ("burstgpt", 40.5)
    assert workload.output_tokens.tolist() == [18, 230]


def test_parquet_and_zst_say_the_same_as_csv(azure_log: Path, tmp_path: Path) -> None:
    parquet, packed = tmp_path / "log.parquet", tmp_path / "log.csv.zst"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM read_csv('{azure_log}')) TO '{parquet}'")
        connection.execute(f"COPY (FROM read_csv('{azure_log}')) TO '{packed}' (FORMAT csv, COMPRESSION zstd)")
    expected, _ = read_log(azure_log)
    for path in (parquet, packed):
        workload, report = read_log(path)
        assert report.format == "azure"
        assert workload.input_tokens.tolist() == expected.input_tokens.tolist()
        assert workload.arrival_s == pytest.approx(expected.arrival_s, abs=2e-6)


def test_bad_rows_of_a_packed_log_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}1,10,1\n\n2,x,1\n3,10,1\n".encode()))
    _, report = read_log_with_all_bad_rows(path)
    assert [row.line for row in report.bad_rows] == [4]


def test_bad_json_lines_by_physical_line(tmp_path: Path) -> None:
    lines = [
        '{"time": 1, "prompt_tokens": 5, "completion_tokens": 2}',
        "",
        "{broken",
        '{"time": 2, "prompt_tokens": 5}',
    ]
    lines.append('{"time": 3, "prompt_tokens": 5, "completion_tokens": 2}')
    workload, report = read_log_with_all_bad_rows(_file(tmp_path, "\n".join(lines), "log.jsonl"))
    assert workload.arrival_s.tolist() == [0.0, 2.0]
    assert [row.line for row in report.bad_rows] == [3, 4]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        (HEADER, "no usable request"),
        (HEADER + "x,y,z\n", r"no usable request \(line 2: "),
        (HEADER + "1,10,1\n", "one instant"),
        ("a,b\n1,2\n", "no column for the time among a, b"),
        ("time,prompt_tokens\n1,2\n", "no column for output tokens"),
        ("{not json\n", "not a JSON object"),
        ("[1, 2]\n", "a JSON array; write one object a line"),
    ],
)
def test_a_log_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_log(_file(tmp_path, text))


NOISE = bytes(range(128, 256)) * 50


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("noise.csv", NOISE, r"noise.csv:1: bytes that are no UTF-8 text; save the log as UTF-8"),
        ("two.csv", "timestamp,input".encode("utf-16"), "it looks like UTF-16: save it as UTF-8"),
        ("noise.parquet", NOISE, "is no Parquet file, or only a part of one; write it again"),
        ("noise.csv.gz", NOISE, "is no gz file, or only a part of one; pack it again"),
        ("cut.csv.gz", gzip.compress(b"timestamp,input_tokens,output_tokens\n" * 999)[:50], "only a part of one"),
        ("noise.csv.zst", NOISE, "is no zst file, or only a part of one"),
        ("far.csv", b"timestamp,input_tokens,output_tokens\n0,5,1\n1e300,5,1\n", "times are not all of one kind"),
        (
            "many.csv",
            b"start_time,end_time,num_model_requests,input_tokens,output_tokens\n1e9,1000000060,999999999,5e9,5e9\n",
            "counts 999,999,999 requests; give a part of it",
        ),
    ],
)
def test_a_file_that_is_no_log_is_one_sentence_of_ours(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_log(tmp_path / name)
    assert "Error" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_log(tmp_path / "none.csv")


def test_a_directory_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a directory"):
        read_log(tmp_path)


def test_too_many_tokens_are_told_the_limit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from 1 to 1,000,000,000, got 2000000000"):
        read_log(_file(tmp_path, HEADER + "1,2000000000,1\n2,1,1\n3,1,1\n"))


def test_one_arrival_left_names_the_first_row_that_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3 was left out: the input tokens are no number"):
        read_log(_file(tmp_path, HEADER + "1,10,1\n2,x,1\n"))


def test_a_log_of_texts_is_told_how_to_be_counted(tmp_path: Path) -> None:
    path = _file(tmp_path, "time,prompt,completion\n1,Hello there,Hi\n2,How much?,Two\n")
    with pytest.raises(InputError, match=f"`breakeven workload {path.name} --out counted.csv`"):
        read_log(path)


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    path = _file(tmp_path, "when,asked,told,note\n1,10,5,a\n2,20,6,b\n")
    with pytest.raises(InputError, match="no column for the time among when, asked, told, note; say which it is"):
        read_log(path)
    named = {"arrival": "when", "input": "asked", "output": "told"}
    workload, report = read_log(path, columns=named)
    assert (report.format, workload.input_tokens.tolist(), workload.output_tokens.tolist()) == (
        "generic",
        [10, 20],
        [5, 6],
    )
    with pytest.raises(InputError, match="no column 'what' for the input; there are when, asked"):
        read_log(path, columns=named | {"input": "what"})
    with pytest.raises(InputError, match="no column 'size' to name"):
        read_log(path, columns={"size": "asked"})


def test_the_repeated_and_the_missing_hour_in_berlin(tmp_path: Path) -> None:
    """On 2023-10-29 clocks in Berlin went from 03:00 back to 02:00, on 2023-03-26 from 02:00 on to 03:00."""
    autumn = "".join(f"2023-10-29 {at},1,1\n" for at in ("01:30:00", "02:30:00", "02:10:00", "03:00:00"))
    workload, report = read_log(_file(tmp_path, HEADER + autumn), time_zone="Europe/Berlin")
    # 23:30, 00:30, 01:10 and 02:00 UTC
    assert workload.arrival_s.tolist() == [0.0, 3600.0, 6000.0, 9000.0]
    assert workload.starts_at == "2023-10-29T01:30:00+02:00"
    assert report.notes == ()
    once = "2023-10-29 01:30:00,1,1\n2023-10-29 02:30:00,1,1\n2023-10-29 03:30:00,1,1\n"
    workload, report = read_log(_file(tmp_path, HEADER + once), time_zone="Europe/Berlin")
    assert workload.arrival_s.tolist() == [0.0, 3600.0, 10800.0]
    assert "first pass" in report.notes[0]
    spring = "2023-03-26 01:59:00,1,1\n2023-03-26 02:30:00,1,1\n2023-03-26 03:01:00,1,1\n"
    workload, report = read_log_with_all_bad_rows(_file(tmp_path, HEADER + spring), time_zone="Europe/Berlin")
    assert workload.arrival_s == pytest.approx([0.0, 120.0])
    assert [(row.line, row.reason) for row in report.bad_rows] == [(3, "the clocks of Europe/Berlin skipped this time")]


def test_a_stated_zone_leaves_offsets_alone(tmp_path: Path) -> None:
    rows = "2026-07-01 12:00:00,1,1\n2026-07-01 12:00:00Z,1,1\n2026-07-01 15:00:00+02:00,1,1\n"
    workload, _ = read_log(_file(tmp_path, HEADER + rows), time_zone="Europe/Berlin")
    assert workload.arrival_s.tolist() == [0.0, 7200.0, 10800.0]  # 10:00, 12:00 and 13:00 UTC
    with pytest.raises(InputError, match="no time zone 'Mars/Olympus'"):
        read_log(_file(tmp_path, HEADER + rows), time_zone="Mars/Olympus")
