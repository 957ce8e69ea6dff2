"""One endpoint and one truth, measured by this agent, guidellm and aiperf, number by number.

    python benchmarks/client/side_by_side.py --guidellm VENV --aiperf VENV [--load 16 64 256 poisson engine]
        [--seconds 15] [--json FILE]

The truth is the account of `mock_server.c`: 20 ms to the first token, 20 ms between tokens, 200 tokens, so 4.0 s a
request and streams / 4.0 s requests per second; for `poisson` 200 requests/s of 50 ms and 16 tokens at 5 ms. `engine`
is a real endpoint instead, the embedded llama.cpp with a synthetic model, where only the agreement can be seen. A tool
is left out where its virtual environment is not given. `--json` keeps the rows and adds to those that the file already
holds, so that a board can be measured in pieces.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import uvloop
from bench import LOOPBACK, Case, measure, mock_server

from measure.architectures import find_architecture
from measure.endpoint import Endpoint
from measure.engine import EngineOptions, embedded_engine
from measure.quant import Quant
from measure.synthetic import write_synthetic_gguf
from measure.vocabulary import build_vocabulary
from measure.web import ask
from planner.imports.build import import_results
from planner.profile import LevelSummary

ENGINE_MODEL = "SmolLM2-135M"
ENGINE_STREAMS = (1, 4)
ENGINE_TOKENS = (64, 64)
PROMPT_TOKENS = 64
GRACE_S = 120

CASES = {
    "16": Case(streams=16, ttft_us=20_000, itl_us=20_000, tokens=200),
    "64": Case(streams=64, ttft_us=20_000, itl_us=20_000, tokens=200),
    "256": Case(streams=256, ttft_us=20_000, itl_us=20_000, tokens=200),
    "poisson": Case(rate_per_s=200, ttft_us=50_000, itl_us=5_000, tokens=16),
}

TOKENIZER = """
import json, sys
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import PreTrainedTokenizerFast
given = json.load(sys.stdin)
merges = [tuple(merge.split(" ")) for merge in given["merges"]]
bpe = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(given["tokens"])}, merges=merges))
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=given["tokens"][-3], eos_token=given["tokens"][-2])
fast.save_pretrained(sys.argv[1])
"""
"""The synthetic model's own tokenizer as the tools want it, because there is no model hub here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One load, measured by one tool. `stated` figures are the tool's own, `imported` what `breakeven profile` makes
    of them.

    `server_late_ms` is how late the server wrote the first events by its own account, `dispersion` its account of the
    arrivals; `cpu_cores` includes the tool's start and end.
    """

    load: str
    tool: str
    ttft_mean_ms: float | None
    ttft_p99_ms: float | None
    itl_mean_ms: float | None
    itl_p99_ms: float | None
    stated_requests_per_s: float | None
    imported_requests_per_s: float | None
    in_flight: float | None
    dispersion: float | None
    cpu_cores: float | None
    server_late_ms: float | None = None


def account(port: int, path: str = "/stats") -> dict[str, float]:
    """What the mock server says of itself since its last reset."""
    endpoint = Endpoint(host=LOOPBACK, port=port, is_tls=False, base_path="/v1")
    fields: dict[str, float] = ask(endpoint, path).fields
    return fields


def truth(load: str, case: Case, stats: dict[str, float]) -> Figures:
    """The schedule, and the server's mean lateness on top of the TTFT."""
    request_s = (case.ttft_us + case.itl_us * (case.tokens - 1)) / 1e6
    rate = case.rate_per_s or case.streams / request_s
    return Figures(
        load=load,
        tool="truth",
        ttft_mean_ms=case.ttft_us / 1e3 + stats["late_first_sum_s"] / max(stats["requests"], 1) * 1e3,
        ttft_p99_ms=None,
        itl_mean_ms=case.itl_us / 1e3,
        itl_p99_ms=case.itl_us / 1e3,
        stated_requests_per_s=rate,
        imported_requests_per_s=None,
        in_flight=case.streams or rate * request_s,
        dispersion=1.0 if case.rate_per_s else None,
        cpu_cores=None,
    )


def run(command: list[str | Path], log: Path, seconds: float, *, offline: bool) -> float:
    """Run a tool and return the cores it used on average while it ran."""
    environment = os.environ | ({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"} if offline else {})
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log.open("w") as sink:
        done = subprocess.run(
            list(map(str, command)),
            stdout=sink,
            stderr=sink,
            timeout=seconds + GRACE_S,
            env=environment,
            cwd=log.parent,
        )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{log.read_text()[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used_s / (time.monotonic() - started)


def guidellm(venv: Path, url: str, model: str, load: Case, tokenizer: Path, seconds: float, folder: Path) -> float:
    profile = f"kind=concurrent,streams={load.streams}"
    if load.rate_per_s is not None:
        profile = f"kind=poisson,rate={load.rate_per_s:g}"
    command: list[str | Path] = [venv / "bin" / "guidellm", "run", "--disable-console", "--profile", profile]
    command += ["--backend", f"kind=openai_http,target={url},model={model},request_format=/v1/completions"]
    command += ["--constraint", f"kind=max_duration,seconds={seconds:g}", "--output", "kind=json,path=benchmarks.json"]
    command += ["--tokenizer", f"kind=hf_auto,model={tokenizer}"]
    command += ["--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={load.tokens}"]
    return run(command, folder / "log", seconds, offline=True)


def aiperf(venv: Path, url: str, model: str, load: Case, tokenizer: Path, seconds: float, folder: Path) -> float:
    command: list[str | Path] = [venv / "bin" / "aiperf", "profile", "-m", model, "--url", url, "--ui-type", "none"]
    command += ["--endpoint-type", "completions", "--streaming", "--use-legacy-max-tokens", "--use-server-token-count"]
    command += ["--benchmark-duration", f"{seconds:g}", "--tokenizer", tokenizer, "--extra-inputs", "ignore_eos:true"]
    command += ["--isl", str(PROMPT_TOKENS), "--isl-stddev", "0", "--osl", str(load.tokens), "--osl-stddev", "0"]
    if load.rate_per_s is None:
        command += ["--concurrency", str(load.streams)]
    else:
        command += ["--request-rate", f"{load.rate_per_s:g}"]
    return run([*command, "--output-artifact-dir", folder], folder / "log", seconds, offline=False)


def stated(folder: Path) -> dict[str, float]:
    """The tool's own figures: TTFT and ITL in ms, requests/s and requests in flight."""
    report = folder / "benchmarks.json"
    if report.exists():
        metrics = json.loads(report.read_bytes())["benchmarks"][0]["metrics"]
        ttft, itl = (metrics[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
        return {
            "ttft_mean_ms": ttft["mean"],
            "ttft_p99_ms": ttft["percentiles"]["p99"],
            "itl_mean_ms": itl["mean"],
            "itl_p99_ms": itl["percentiles"]["p99"],
            "stated_requests_per_s": metrics["requests_per_second"]["successful"]["mean"],
            "in_flight": metrics["request_concurrency"]["total"]["mean"],
        }
    export = json.loads((folder / "profile_export_aiperf.json").read_bytes())
    return {
        "ttft_mean_ms": export["time_to_first_token"]["avg"],
        "ttft_p99_ms": export["time_to_first_token"]["p99"],
        "itl_mean_ms": export["inter_token_latency"]["avg"],
        "itl_p99_ms": export["inter_token_latency"]["p99"],
        "stated_requests_per_s": export["request_throughput"]["avg"],
        "in_flight": export["effective_concurrency"]["avg"],
    }


def imported(folder: Path) -> LevelSummary:
    """What `breakeven profile` makes of the tool's files."""
    names = ("benchmarks.json", "profile_export_aiperf.json", "profile_export.jsonl")
    files = {f"run/{name}": (folder / name).read_bytes() for name in names if (folder / name).exists()}
    (level,) = import_results(files).levels
    return level


def foreign(
    tool: str, venv: Path, url: str, model: str, load: str, case: Case, tokenizer: Path, seconds: float
) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        start = {"guidellm": guidellm, "aiperf": aiperf}[tool]
        cores = start(venv, url, model, case, tokenizer, seconds, Path(folder))
        figures = stated(Path(folder))
        return Figures(
            load=load,
            tool=tool,
            **figures,
            imported_requests_per_s=imported(Path(folder)).requests_per_s,
            dispersion=None,
            cpu_cores=cores,
        )


def own(load: str, case: Case, port: int, seconds: float) -> Figures:
    """This agent's load client, as `breakeven measure` uses it, records kept on disk."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        row = runner.run(measure(case, port, seconds, Path(folder)))
    late_ms = row.server_late_mean_ms
    return Figures(
        load=load,
        tool="breakeven",
        ttft_mean_ms=row.ttft_bias_ms + case.ttft_us / 1e3 + late_ms,
        ttft_p99_ms=row.ttft_p99_ms,
        itl_mean_ms=row.itl_mean_ms,
        itl_p99_ms=row.itl_p99_ms,
        stated_requests_per_s=row.requests_per_s,
        imported_requests_per_s=None,
        in_flight=row.in_flight,
        dispersion=row.dispersion,
        cpu_cores=row.client_cpu_frac,
        server_late_ms=late_ms,
    )


def mock_rows(load: str, venvs: dict[str, Path], tokenizer: Path, seconds: float) -> Iterator[Figures]:
    case = CASES[load]
    with mock_server(case) as port:
        ours = own(load, case, port, seconds)
        yield truth(load, case, account(port))
        yield ours
        for tool, venv in venvs.items():
            account(port, "/reset")
            figures = foreign(tool, venv, f"http://127.0.0.1:{port}", "mock", load, case, tokenizer, seconds)
            said = account(port)
            dispersion = said["dispersion"] if case.rate_per_s else None
            late_ms = said["late_first_sum_s"] / max(said["requests"], 1) * 1e3
            yield replace(figures, dispersion=dispersion, server_late_ms=late_ms)


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """The embedded engine on a synthetic model, one thread so that the clients have a core."""
    model = folder / "model.gguf"
    write_synthetic_gguf(model, find_architecture(ENGINE_MODEL), Quant.Q8_0, 0)
    options = EngineOptions(model=model, slots=max(ENGINE_STREAMS), context_tokens=1024, threads=1)
    with embedded_engine(options, folder) as running:
        yield f"http://127.0.0.1:{running.endpoint.port}"


def engine_rows(venvs: dict[str, Path], tokenizer: Path, seconds: float) -> Iterator[Figures]:
    _, outputs = ENGINE_TOKENS
    with tempfile.TemporaryDirectory() as folder, engine(Path(folder)) as url:
        for streams in ENGINE_STREAMS:
            load = f"llama.cpp {streams}"
            yield own_on_engine(load, url, streams, seconds, Path(folder))
            case = Case(streams=streams, ttft_us=0, itl_us=0, tokens=outputs)
            for tool, venv in venvs.items():
                yield foreign(tool, venv, url, "synthetic", load, case, tokenizer, seconds)


def own_on_engine(load: str, url: str, streams: int, seconds: float, folder: Path) -> Figures:
    inputs, outputs = ENGINE_TOKENS
    command = [
        sys.executable,
        "-m",
        "measure.cli",
        "measure",
        "--endpoint",
        url,
        "--concurrency",
        f"{streams},{streams + 1}",
    ]
    command += ["--input-tokens", str(inputs), "--output-tokens", str(outputs), "--duration", f"{seconds:g}"]
    command += ["--out", str(folder / f"run-{streams}"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=6 * seconds + GRACE_S)
    if done.returncode:
        raise SystemExit(done.stderr)
    levels = [x for x in json.loads(done.stdout)["levels"] if x["mode"] == "closed" and x["shape"] != "ladder"]
    level = next(x for x in levels if x["target"] == streams)
    return Figures(
        load=load,
        tool="breakeven",
        ttft_mean_ms=level["ttft_s"]["mean"] * 1e3,
        ttft_p99_ms=level["ttft_s"]["p99"] * 1e3,
        itl_mean_ms=level["tpot_s"]["mean"] * 1e3,
        itl_p99_ms=level["tpot_s"]["p99"] * 1e3,
        stated_requests_per_s=level["requests_per_s"],
        imported_requests_per_s=None,
        in_flight=level["achieved_concurrency"],
        dispersion=None,
        cpu_cores=level["client_cpu_frac"],
    )


def print_table(rows: list[Figures]) -> None:
    columns = ("load", "tool", "TTFT ms mean", "p99", "ITL ms mean", "p99", "req/s", "imported", "in flight",
               "dispersion", "client cores", "server late ms")  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|---|---|" + "---:|" * (len(columns) - 2))
    for row in rows:
        cells = [
            "-" if cell is None else cell if isinstance(cell, str) else f"{cell:.4g}" for cell in asdict(row).values()
        ]
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guidellm", type=Path, metavar="VENV", help="its virtual environment")
    parser.add_argument("--aiperf", type=Path, metavar="VENV", help="its virtual environment")
    parser.add_argument("--load", nargs="+", choices=[*CASES, "engine"], default=[*CASES, "engine"])
    parser.add_argument("--seconds", type=float, default=15.0, help="length of a level; our steady window")
    parser.add_argument("--json", type=Path, help="keep the rows there, beside those of earlier pieces")
    options = parser.parse_args()
    venvs = {name: path.resolve() for name in ("guidellm", "aiperf") if (path := getattr(options, name)) is not None}
    rows: list[Figures] = []
    if options.json and options.json.exists():
        rows = [Figures(**row) for row in json.loads(options.json.read_text())]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Path(folder) / "tokenizer"
        for venv in list(venvs.values())[:1]:
            vocabulary = build_vocabulary(find_architecture(ENGINE_MODEL).vocabulary)
            subprocess.run(
                [venv / "bin" / "python", "-c", TOKENIZER, tokenizer],
                input=json.dumps({"tokens": vocabulary.tokens, "merges": vocabulary.merges}).encode(),
                check=True,
                capture_output=True,
            )
        for load in options.load:
            print(f"{load} ...", file=sys.stderr)
            rows = [row for row in rows if row.load.split()[0] != ("llama.cpp" if load == "engine" else load)]
            found = (
                engine_rows(venvs, tokenizer, options.seconds)
                if load == "engine"
                else mock_rows(load, venvs, tokenizer, options.seconds)
            )
            for row in found:
                print(row, file=sys.stderr)
                rows.append(row)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print_table(rows)


if __name__ == "__main__":
    main()
