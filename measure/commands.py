"""`breakeven measure`."""

import dataclasses
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from measure.architectures import find_architecture
from measure.arrivals import Arrivals
from measure.auto import DEFAULT_BUDGET_S, auto_plan
from measure.endpoint import Api, parse_endpoint
from measure.probe import USUAL_PORTS, local_servers
from measure.profile_commands import show_profile
from measure.quant import Quant
from measure.replay import read_replay
from measure.report import ConsoleProgress
from measure.run_info import PlannedReplay, TargetInfo
from measure.rundir import pack_run
from measure.session import resume_measurement, run_measurement
from measure.sweep import grid_plan
from measure.synthetic import write_synthetic_gguf
from planner.console import log
from planner.errors import InputError

_SYNTHETIC_SEED = 0
_DEFAULT_CONCURRENCY = "1,2,4,8"
_DEFAULT_LEVEL_S = 30.0
_DEFAULT_SLOTS = 8
_DEFAULT_CONTEXT_TOKENS = 8192


def synthetic_model(name: str, folder: Path) -> Path:
    """The file for `NAME`, `NAME:QUANT` or `config.json:QUANT`, written into `folder` if it is not there yet."""
    wanted, has_quant, quant_name = name.rpartition(":") if ":" in name else (name, "", "")
    architecture = find_architecture(wanted)
    try:
        quant = Quant(quant_name.upper() if has_quant else Quant.Q8_0)
    except ValueError:
        raise InputError(f"no quantisation {quant_name!r}; choose one of {', '.join(Quant)}") from None
    path = folder / f"{architecture.name}-{quant}-{architecture.fingerprint}.gguf"
    if not path.exists():
        model = write_synthetic_gguf(path, architecture, quant, _SYNTHETIC_SEED)
        log.print(f"  wrote {model.name}: {model.parameters / 1e6:.1f} M parameters, {path}", style="dim", markup=False)
    return path


MAX_DURATION_S = 86_400.0
MAX_TOKENS = 10_000_000
MAX_CONCURRENCY = 20_000
"""Above these a number is a slip: the ports of one machine end near 28,000 connections to one server."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(measure)


def measure(
    endpoint: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server, for example http://127.0.0.1:8000")
    ] = None,
    launch: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Start the server at --endpoint with this, and stop it after.")
    ] = None,
    gguf: Annotated[Path | None, typer.Option(help="A model file for the embedded engine.")] = None,
    synthetic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:QUANT]", help="Random weights in a real shape: SmolLM2-135M:Q8_0, or a model's config.json."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name on the server, where it serves several.")] = None,
    api: Annotated[
        Api | None,
        typer.Option(help="Which API of the server to measure; text completions where it has them, else chat."),
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto", help="Find the levels by itself, and keep two open-loop runs to state the error.")
    ] = False,
    concurrency: Annotated[
        str | None, typer.Option(metavar="N,...", help="Requests in flight, one level each. Default: 1,2,4,8.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="R,...", help="Requests per second of open-loop levels, run after the others.")
    ] = None,
    arrivals: Annotated[
        Arrivals | None, typer.Option(help="Gaps between the arrivals of --rate. Default: poisson.")
    ] = None,
    burstiness: Annotated[
        float | None, typer.Option(min=0.01, help="Shape of gamma gaps; below 1 is burstier. Default: 1.")
    ] = None,
    prefix_share: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.95, help="Share of each prompt that all prompts of --rate have in common."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="LOG", help="At last, send a request log's own arrivals and lengths.")
    ] = None,
    speed_up: Annotated[
        float | None, typer.Option(min=0.01, help="How much faster than it happened --replay is. Default: 1.")
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option(min=1, max=MAX_TOKENS, help="Prompt length; without lengths three shapes.")
    ] = None,
    output_tokens: Annotated[int | None, typer.Option(min=1, max=MAX_TOKENS, help="Output length.")] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=MAX_DURATION_S,
            help="Seconds per level, warm-up included (default 30); with --auto of the whole run (default 300).",
        ),
    ] = None,
    busy_ok: Annotated[
        bool, typer.Option("--busy-ok", help="Keep levels that other processes slowed down, with a warning.")
    ] = False,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Sequences at once in the embedded engine. Default: 8.")
    ] = None,
    context_tokens: Annotated[
        int | None, typer.Option(min=64, help="Context per sequence in the embedded engine. Default: 8192.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the embedded engine; a free one if not given.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the prompts; a new one for each run if not given.")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--out", help="Run directory to write.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue this run directory.")] = None,
    pack: Annotated[
        bool, typer.Option("--pack", help="Also write the run as one archive beside its directory.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the levels as one JSON object.")] = False,
) -> None:
    """Measure a server or a model file, and keep every request.

    Example: breakeven measure --synthetic SmolLM2-135M --auto
    """
    progress = ConsoleProgress()
    loads: dict[str, object] = {
        "--concurrency": concurrency,
        "--rate": rate,
        "--arrivals": arrivals,
        "--burstiness": burstiness,
        "--prefix-share": prefix_share,
        "--input-tokens": input_tokens,
        "--output-tokens": output_tokens,
    }
    engine: dict[str, object] = {"--slots": slots, "--context-tokens": context_tokens, "--port": port}
    if resume is not None:
        others: dict[str, object] = {
            "--endpoint": endpoint,
            "--launch": launch,
            "--gguf": gguf,
            "--synthetic": synthetic,
            "--model": model,
            "--auto": auto or None,
            "--duration": duration,
            "--seed": seed,
            "--out": directory,
            "--replay": replay,
            "--speed-up": speed_up,
        }
        _refuse(others | loads | engine, "with --resume", "its run directory says what to measure and how")
        directory = resume
        result = resume_measurement(resume, keeps_contended=busy_ok, progress=progress)
    else:
        if auto:
            _refuse(loads, "with --auto", "it chooses the levels itself; --duration sets the time of the whole run")
            plan = auto_plan(budget_s=duration or DEFAULT_BUDGET_S, keeps_contended=busy_ok)
        else:
            if rate is None:
                _refuse(
                    {"--arrivals": arrivals, "--burstiness": burstiness, "--prefix-share": prefix_share},
                    "without --rate",
                    "they shape its requests",
                )
            plan = grid_plan(
                concurrency=_parse_concurrency(concurrency or _DEFAULT_CONCURRENCY),
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                level_s=duration or _DEFAULT_LEVEL_S,
                rates_per_s=_parse_rates(rate),
                arrivals=arrivals or Arrivals.POISSON,
                burstiness=burstiness or 1.0,
                prefix_share=prefix_share or 0.0,
                keeps_contended=busy_ok,
            )
        if endpoint is not None:
            _refuse(engine, "with --endpoint", "the server there was started with its own")
        else:
            _refuse({"--model": model}, "without --endpoint", "a model file holds one model")
        if replay is None:
            _refuse({"--speed-up": speed_up}, "without --replay", "only a log has a speed of its own")
        else:
            seconds = _DEFAULT_LEVEL_S if auto or duration is None else duration
            planned = PlannedReplay(log=str(replay.resolve()), speed_up=speed_up or 1.0, duration_s=seconds)
            read_replay(planned, context_tokens=None)  # a log that cannot be used is said before anything starts
            plan = dataclasses.replace(plan, replay=planned)
        directory = directory or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        target = _target(
            endpoint=endpoint,
            launch=launch,
            gguf=gguf,
            synthetic=synthetic,
            model=model,
            api=api,
            slots=slots or _DEFAULT_SLOTS,
            context_tokens=context_tokens or _DEFAULT_CONTEXT_TOKENS,
            port=port,
        )
        chosen = secrets.randbelow(2**31) if seed is None else seed
        result = run_measurement(target, plan, directory, seed=chosen, progress=progress)
    if pack:
        log.print(f"  packed: {pack_run(directory)}", markup=False)
    show_profile(result, directory, as_json=json, already_said=progress.said)


def _refuse(options: Mapping[str, object], where: str, why: str) -> None:
    """Raise for options that were given where they mean nothing."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"{', '.join(given)} cannot be given {where}: {why}")


def _parse_concurrency(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= MAX_CONCURRENCY for number in numbers):
        raise InputError(
            f"--concurrency {text!r} is no list of whole numbers from 1 to {MAX_CONCURRENCY}; write it like 1,8,64"
        )
    return numbers


def _parse_rates(text: str | None) -> list[float]:
    if text is None:
        return []
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < float("inf") for number in numbers):
        raise InputError(f"--rate {text!r} is no list of numbers above 0; write it like 2.5 or 1,2,4")
    return numbers


def _offer() -> str:
    """What could be measured here, as the answer to a command without a target."""
    found = [f"--endpoint {server.url.removesuffix('/v1')}" for server in local_servers()]
    if found:
        return f"no target given; servers answer on this machine, measure one with {' or '.join(found)}"
    ports = ", ".join(map(str, USUAL_PORTS))
    return (
        f"no target given and no server answers on this machine's usual ports ({ports}); "
        "start one and give --endpoint URL, or try the embedded engine with --synthetic SmolLM2-135M"
    )


def _target(
    *,
    endpoint: str | None,
    launch: str | None,
    gguf: Path | None,
    synthetic: str | None,
    model: str | None,
    api: Api | None,
    slots: int,
    context_tokens: int,
    port: int | None,
) -> TargetInfo:
    given = [x for x in (endpoint, gguf, synthetic) if x is not None]
    if len(given) > 1:
        raise InputError("give one target: --endpoint URL, --gguf FILE or --synthetic NAME")
    if launch is not None and endpoint is None:
        raise InputError("--launch needs --endpoint with the address at which the command's server will answer")
    if not given:
        raise InputError(_offer())
    if endpoint is not None:
        parse_endpoint(endpoint)
        return TargetInfo(
            kind="endpoint", location=endpoint, model=model, api=None if api is None else api.value, launch=launch
        )
    file = gguf if gguf is not None else synthetic_model(synthetic or "", Path("runs") / "models")
    return TargetInfo(
        kind="gguf",
        location=str(file),
        model=model,
        api=None if api is None else api.value,
        slots=slots,
        context_tokens=context_tokens,
        port=port,
    )
