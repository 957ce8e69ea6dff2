"""`breakeven demo`: the whole way on this machine, from a model file to the verdict on a real request log."""

import itertools
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from measure.commands import synthetic_model
from measure.report import ConsoleProgress, print_profile
from measure.run_info import TargetInfo
from measure.rundir import RUN_FILE
from measure.session import run_measurement
from measure.sweep import quick_plan
from planner.commands.plan import PLAN_DIRECTORY, plan_scenario, show_plan
from planner.console import emit_json, log
from planner.errors import InputError, PriceError
from planner.examples import EXAMPLE_LOG, EXAMPLE_SCENARIO
from planner.export.directory import REPORT_FILE, VERDICT_FILE, verdict_document, write_plan
from planner.profile import Host, Memory, Profile
from planner.scenario.tables import Figure, Machine, Scenario
from planner.scenario.toml_file import FILE_NAME, dump_scenario, load_scenario
from planner.steptime.fit import lone_ttft_s
from planner.traces.request_log import read_log
from pricing.hardware import purchase_offers, smallest_rental_for

MODEL = "SmolLM2-135M:Q8_0"
SEED = 20261120
MEASURING_BUDGET_S = 115.0
"""Leaves a minute of the three for writing the model, starting the engine, planning and the report."""

_HOSTS_PER_SERVER = 8
_SHARED_MACHINE_FRACS = (0.5, 0.75, 1.0)


def register(app: typer.Typer) -> None:
    """Add the demo to the command line."""
    app.command()(demo)


def demo(
    directory: Annotated[
        Path | None, typer.Option("--out", help="Run directory to write. Default: runs/demo-<time>.")
    ] = None,
    log_file: Annotated[Path | None, typer.Option("--log", help="Your own request log instead of the example.")] = None,
    allowed_bad_rows: Annotated[
        int, typer.Option("--allow-bad-rows", min=0, help="Rows of the log that may be unusable.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print verdict.json to stdout.")] = False,
) -> None:
    """Measure a small model live, plan a real log against API prices, write the verdict. Under 3 minutes on 2 cores.

    Example: breakeven demo --out runs/first
    """
    now = datetime.now(UTC)
    directory = directory or Path("runs") / now.strftime("demo-%Y%m%d-%H%M%S")
    if (directory / RUN_FILE).exists():
        raise InputError(f"{directory} already holds a run; give another --out, or leave it away for a new one")
    requests = log_file or EXAMPLE_LOG
    workload, _ = read_log(requests, max_bad_rows=allowed_bad_rows)

    log.rule("1 of 3  a model of a real shape with random weights")
    model = synthetic_model(MODEL, Path("runs") / "models")

    log.rule("2 of 3  measure it on this machine")
    target = TargetInfo(kind="gguf", location=str(model), model=None)
    longest = int(workload.input_tokens.max())
    plan = quick_plan(budget_s=MEASURING_BUDGET_S, longest_input_tokens=longest)
    progress = ConsoleProgress()
    profile = run_measurement(target, plan, directory, seed=SEED, progress=progress)
    print_profile(profile, already_said=progress.said)

    log.rule("3 of 3  price the log and decide")
    shutil.copyfile(requests, directory / requests.name)
    example = load_scenario(EXAMPLE_SCENARIO)
    demand = replace(example.workload, log=requests.name, max_bad_rows=allowed_bad_rows)
    asked = replace(example, workload=demand, name=example.name if log_file is None else requests.name)
    alone_s = lone_ttft_s(profile.fit.step_time, profile.limits, longest)
    ttft_s = attainable_ttft_s(alone_s)
    log.print(
        f"  service level: {asked.slo.attainment_frac:.0%} of the requests see their first token within {ttft_s:g} s; "
        f"twice the {alone_s:.3g} s that the longest prompt of {longest:,} tokens takes alone, rounded up",
        markup=False,
    )
    scenario = demo_scenario(asked, profile, ttft_s=ttft_s, start_month=next_month(now.date()))
    (directory / FILE_NAME).write_text(dump_scenario(scenario), encoding="utf-8")
    made = plan_scenario(directory, latency_frontier=True)
    write_plan(made, directory / PLAN_DIRECTORY)
    if json:
        emit_json(verdict_document(made))
    else:
        show_plan(made)
    written = directory / PLAN_DIRECTORY
    log.print(f"report: {written / REPORT_FILE}   numbers: {written / VERDICT_FILE}", markup=False)
    log.print(f"look at it: breakeven app {directory}   again: breakeven plan {directory}", markup=False)


def demo_scenario(example: Scenario, profile: Profile, *, ttft_s: float, start_month: str) -> Scenario:
    """The example's question asked about the machine that was measured: its kind of machine to rent and to own, and a
    service level that it can hold."""
    return replace(
        example,
        slo=replace(example.slo, ttft_s=ttft_s),
        start_month=start_month,
        profile="profile.json",
        candidates=replace(
            example.candidates, rent=rent_like(profile.host, profile.memory), own=own_like(profile.host)
        ),
    )


def attainable_ttft_s(longest_prompt_alone_s: float) -> float:
    """A limit on TTFT that the machine can hold: twice what the longest prompt takes alone, rounded up to 1, 2 or 5.

    >>> attainable_ttft_s(45.0)
    100.0
    """
    steps = (step * 10.0**power for power in itertools.count(-3) for step in (1, 2, 5))
    return next(step for step in steps if step >= 2 * longest_prompt_alone_s)


def rent_like(host: Host, memory: Memory) -> tuple[Machine, ...]:
    """The smallest rental with the measured cores and the memory that the server took, if there is one."""
    needed_gib = host.ram_gib if memory.peak_gib is None else memory.peak_gib
    try:
        offer = smallest_rental_for(host.cpu_cores, needed_gib, None)
    except PriceError as error:
        log.print(f"  nothing to rent: {error}", style="yellow", markup=False)
        return ()
    return (_carrying(offer.id, offer.vcpus, host),)


def own_like(host: Host) -> tuple[Machine, ...]:
    """The smallest server without accelerator that carries several of the measured host, else the largest there is."""
    offers = [offer for offer in purchase_offers() if offer.accelerator is None and offer.cpu_cores >= host.cpu_cores]
    offers.sort(key=lambda offer: offer.cpu_cores)
    chosen = next((offer for offer in offers if offer.cpu_cores >= _HOSTS_PER_SERVER * host.cpu_cores), None)
    return tuple(_carrying(offer.id, offer.cpu_cores, host) for offer in ((chosen,) if chosen else offers[-1:]))


def _carrying(offer: str, cores: int, host: Host) -> Machine:
    """The offer with as many replicas as it has times the measured cores, less what they lose by sharing memory."""
    times = cores // host.cpu_cores
    low, mid, high = (max(1.0, float(int(frac * times))) for frac in _SHARED_MACHINE_FRACS)
    source = f"{cores} cores over the {host.cpu_cores} measured"
    if times > 1:
        source += ", times 0.5, 0.75 and 1 for the shared memory bus"
    return Machine(offer=offer, replicas_per_machine=Figure(low=low, mid=mid, high=high, source=source))


def next_month(today: date) -> str:
    """The month after `today` as YYYY-MM.

    >>> next_month(date(2026, 12, 31))
    '2027-01'
    """
    year, month = divmod(today.year * 12 + today.month, 12)
    return f"{year}-{month + 1:02d}"
