"""Reads evaluation results: promptfoo JSON, lm-evaluation-harness JSON, Aider leaderboards, a plain CSV."""

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from planner.errors import InputError, reason_of
from pricing.quality import QualityResult

_PROMPTFOO_ERROR = 2  # failureReason of a test that ended without an answer
_METRICS = ("exact_match", "pass@1", "acc", "prompt_level_strict_acc")
_RECORD_LINE = re.compile(r"(- |  )([A-Za-z_][\w-]*):(?: (.*))?")
_CSV_COLUMNS = frozenset({"model", "suite", "passed", "total"})


def read_promptfoo(path: Path, suite: str) -> list[QualityResult]:
    """One result per provider of a `promptfoo eval --output results.json`. Raises `InputError` for another file."""
    raw = _json(path)
    rows = raw.get("results", {}).get("results") if isinstance(raw.get("results"), dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} has no results.results: give the JSON that promptfoo eval --output writes")
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    cost: dict[str, Decimal | None] = {}
    for number, row in enumerate(rows, start=1):
        provider = row.get("provider")
        name = provider.get("label") or provider.get("id") if isinstance(provider, dict) else provider
        if not name or not isinstance(row.get("success"), bool):
            raise InputError(f"{path}, result {number}: provider or success is missing")
        total[name] += 1
        passed[name] += row["success"]
        errors[name] += row.get("failureReason") == _PROMPTFOO_ERROR
        before, spent = cost.get(name, Decimal(0)), row.get("cost")
        cost[name] = None if before is None or spent is None else before + Decimal(str(spent))
    stamp = raw["results"].get("timestamp")
    return [
        QualityResult(
            model=name,
            variant="",
            suite=suite,
            passed=passed[name],
            total=total[name],
            errors=errors[name],
            cost_usd=cost[name],
            source=path.name,
            as_of=date.fromisoformat(stamp[:10]) if stamp else None,
        )
        for name in total
    ]


def read_lm_eval(path: Path, *, metric: str | None = None, variant: str = "") -> list[QualityResult]:
    """One result per task of an lm-evaluation-harness `results_*.json`.

    `metric` is a full key such as "exact_match,strict-match"; by default the only one of its kind in the order
    exact_match, pass@1, acc, prompt_level_strict_acc. Groups without samples of their own are left out. A task with
    several keys of the same metric and no choice, or without a number of samples, stops.
    """
    raw = _json(path)
    tasks = raw.get("results")
    if not isinstance(tasks, dict) or not tasks:
        raise InputError(f"{path} has no results: give the JSON that lm_eval --output_path writes")
    model = raw.get("model_name") or _pretrained(raw.get("config", {}))
    if not model:
        raise InputError(f"{path} names no model")
    samples = raw.get("n-samples", {})
    results = []
    for task, scores in tasks.items():
        if task in raw.get("groups", {}) and task not in samples:
            continue
        key = metric or _metric(path, task, scores)
        count = samples.get(task, {}).get("effective")
        if key not in scores or not count:
            raise InputError(f"{path}: task {task} has no {key} or no number of samples")
        results.append(
            QualityResult(
                model=model,
                variant=variant,
                suite=f"{task} {key}",
                passed=round(float(scores[key]) * count),
                total=count,
                source=path.name,
                as_of=datetime.fromtimestamp(raw["date"], UTC).date() if "date" in raw else None,
            )
        )
    return results


def read_aider(path: Path, *, suite: str, attempt: int = 2) -> list[QualityResult]:
    """The rows of an Aider leaderboard file: passed = pass_num_<attempt> of total_tests, or a percentage of test_cases.

    A cost of 0.0000 means there that nobody knew it and becomes None. Raises `InputError` with the line.
    """
    results = []
    for line, row in _records(path):
        try:
            counted = row.get(f"pass_num_{attempt}")
            total = int(row["total_tests"] if counted else row["test_cases"])
            rate = float(row[f"pass_rate_{attempt}"]) / 100
            cost = Decimal(row.get("total_cost", "0"))
            results.append(
                QualityResult(
                    model=row["model"],
                    variant="",
                    suite=suite,
                    passed=int(counted) if counted else round(rate * total),
                    total=total,
                    cost_usd=cost or None,
                    source=f"{path.name}: {row['dirname']}",
                    as_of=date.fromisoformat(row["date"]),
                )
            )
        except (KeyError, ValueError, InvalidOperation) as error:
            raise InputError(f"{path}, record at line {line}: {error} is missing or wrong") from None
    return results


def read_results_csv(path: Path) -> list[QualityResult]:
    """Columns model, suite, passed, total; optionally variant, errors, cost_usd, source, as_of. Stops with the line."""
    results = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = sorted(_CSV_COLUMNS - set(reader.fieldnames or ()))
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}")
            for row in reader:
                results.append(_csv_result(path, reader.line_num, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    return results


def _csv_result(path: Path, line: int, row: Mapping[str, str | None]) -> QualityResult:
    cells = {key: (value or "").strip() for key, value in row.items()}
    try:
        return QualityResult(
            model=cells["model"],
            variant=cells.get("variant", ""),
            suite=cells["suite"],
            passed=int(cells["passed"]),
            total=int(cells["total"]),
            errors=int(cells.get("errors") or 0),
            cost_usd=Decimal(cells["cost_usd"]) if cells.get("cost_usd") else None,
            source=cells.get("source") or path.name,
            as_of=date.fromisoformat(cells["as_of"]) if cells.get("as_of") else None,
        )
    except (ValueError, InvalidOperation, InputError) as error:
        raise InputError(f"{path}, line {line}: {error}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as JSON: {reason_of(error)}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} holds no JSON object")
    return raw


def _pretrained(config: Mapping[str, Any]) -> str | None:
    arguments = config.get("model_args")
    if isinstance(arguments, dict):
        named = arguments.get("pretrained") or arguments.get("model")
        return str(named) if named else None
    found = re.search(r"(?:pretrained|model)=([^,]+)", str(arguments or ""))
    return found[1] if found else None


def _metric(path: Path, task: str, scores: Mapping[str, Any]) -> str:
    for wanted in _METRICS:
        keys = [key for key in scores if key.partition(",")[0] == wanted]
        if len(keys) == 1:
            return keys[0]
        if keys:
            raise InputError(f"{path}: task {task} has {', '.join(keys)}: choose one as the metric")
    raise InputError(f"{path}: task {task} has none of {', '.join(_METRICS)}: choose one of {', '.join(scores)}")


def _records(path: Path) -> list[tuple[int, dict[str, str]]]:
    """A flat YAML list of one-line keys, which is all that a leaderboard file is."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}") from None
    records: list[tuple[int, dict[str, str]]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parsed = _RECORD_LINE.fullmatch(line.rstrip())
        if parsed is None or (parsed[1] == "  " and not records):
            raise InputError(f'{path}, line {number}: expected "- key: value" or "  key: value", got "{line.strip()}"')
        if parsed[1] == "- ":
            records.append((number, {}))
        records[-1][1][parsed[2]] = _scalar(parsed[3] or "")
    return records


def _scalar(text: str) -> str:
    quoted = re.fullmatch(r"""\s*(["'])(.*)\1\s*(?:#.*)?""", text)
    return quoted[2] if quoted else re.sub(r"(^|\s)#.*", "", text).strip()
