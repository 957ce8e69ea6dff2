"""What a person at a terminal sees: the progress of a measurement, and its results as tables."""

from collections.abc import Collection, Sequence

from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from measure.progress import LevelProgress
from planner.console import log
from planner.distribution import P99_MIN_COUNT
from planner.imports.build import Imported
from planner.profile import HeldBackRun, LevelSummary, Memory, Profile, Statistics
from planner.units import BYTES_PER_KIB, MILLISECONDS_PER_SECOND, SECONDS_PER_MINUTE


class ConsoleProgress:
    """Lines on standard error, and at a terminal a last line that follows the level under way.

    Cheap on purpose, 0.3 ms twice a second: it runs in the load client's thread, between two reads. `said` holds the
    notes that were shown, so that the final tables need not repeat them.
    """

    def __init__(self) -> None:
        self._live = Live(console=log, auto_refresh=False, transient=True) if log.is_terminal else None
        self.said: set[str] = set()

    def note(self, text: str) -> None:
        self._clear()
        self.said.add(text)
        log.print(f"  {text}", style="dim", markup=False)

    def level(self, progress: LevelProgress) -> None:
        if self._live is None:
            return
        if not self._live.is_started:
            self._live.start()
        self._live.update(progress_line(progress), refresh=True)

    def finished(self, level: str, summary: LevelSummary) -> None:
        self._clear()
        if summary.shape == "warm-up":
            return
        figures = "-"
        if summary.ttft_s is not None:
            figures = f"{summary.output_tokens_per_s:.1f} tokens/s"
            if summary.output_tokens_per_s_ci_frac is not None and summary.mode == "closed":
                figures += f" +-{summary.output_tokens_per_s_ci_frac:.0%}"
            figures += f", TTFT {_ms(summary.ttft_s.mean)} ms"
        tpot = "" if summary.tpot_s is None else f", TPOT {_ms(summary.tpot_s.mean)} ms"
        failed = sum(summary.failures.values())
        failures = f", {failed} failed" if failed else ""
        if summary.cached_input_frac:
            tpot += f", {summary.cached_input_frac:.0%} of the prompt tokens cached"
        verdict = "" if summary.valid else f"  INVALID: {'; '.join(summary.invalid_reasons)}"
        style = None if summary.valid else "yellow"
        log.print(f"  {level}: {figures}{tpot}{failures}{verdict}", style=style, markup=False)

    def _clear(self) -> None:
        if self._live is not None and self._live.is_started:
            self._live.stop()


def progress_line(progress: LevelProgress) -> Text:
    """Two lines: level, how far it is, time left; rate, TTFT, tokens per second, power where a sensor says it."""
    head = f"{progress.phase}, {progress.elapsed_s:.0f} of at most {progress.max_s:.0f} s"
    if progress.run_left_s is not None:
        minutes, seconds = divmod(max(0, round(progress.run_left_s)), round(SECONDS_PER_MINUTE))
        head += f"; {minutes:d}:{seconds:02d} of the run left"
    parts = [
        f"{progress.completed / max(progress.elapsed_s, 1e-9):.2f} requests/s",
        "TTFT -" if progress.last_ttft_s is None else f"TTFT {_ms(progress.last_ttft_s)} ms",
        f"{progress.output_tokens_per_s:.0f} tokens/s",
    ]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    parts.append("no power sensor" if progress.power_w is None else f"{progress.power_w:.0f} W")
    line = Text(f"  {progress.level}", style="bold", no_wrap=True, overflow="ellipsis")
    return line.append(f"  {head}\n    {' | '.join(parts)}", style="not bold")


def _ms(seconds: float) -> str:
    """Milliseconds with three significant digits, without an exponent."""
    milliseconds = seconds * MILLISECONDS_PER_SECOND
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:#.3g}"


def _spread(sample: Statistics | None) -> str:
    """Mean and p95, in milliseconds; imported levels may have no p95."""
    if sample is None:
        return "-"
    return f"{_ms(sample.mean)}/{'-' if sample.p95 is None else _ms(sample.p95)}"


def levels_table(levels: Sequence[LevelSummary]) -> Table:
    """Throughput and latency of every level, with unit and spread; invalid levels in yellow and marked as such.

    A level in which no request ended has no figures, only dashes.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption="latency: mean / 95th percentile over requests")
    table.add_column("shape", no_wrap=True)
    for name in (
        "in\nfl.",
        "tokens\nin:out",
        "n",
        "out\ntok/s",
        "req/s",
        "TTFT [ms]\nmean/p95",
        "TPOT [ms]\nmean/p95",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for level in levels:
        tokens = "-"
        inputs, outputs, ttft = (level.known(name) for name in ("input_tokens", "output_tokens", "ttft_s"))
        if inputs and outputs:
            tokens = f"{inputs.mean:.0f}:{outputs.mean:.0f}"
        has_ended = ttft is not None
        table.add_row(
            level.shape if level.valid else f"{level.shape}\n  invalid",
            f"{level.achieved_concurrency:.2g}",
            tokens,
            "0" if ttft is None else "-" if ttft.count is None else str(ttft.count),
            f"{level.output_tokens_per_s:.1f}" if has_ended else "-",
            f"{level.requests_per_s:.2f}" if has_ended else "-",
            _spread(ttft),
            _spread(level.known("tpot_s")),
            style=None if level.valid else "yellow",
        )
    return table


def facts_table(profile: Profile) -> Table:
    """Memory, power, load time, client health and the fit's error, each with its unit or the reason it is missing."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    host = profile.host
    table.add_row("model", profile.provenance.model)
    table.add_row("machine", ", ".join(host.accelerators) or f"{host.cpu_cores} cores of {host.cpu_model}")
    memory, missing = profile.memory, profile.missing
    peak = missing.get("memory.peak_gib", "-")
    if memory.peak_gib is not None and memory.available_gib is not None:
        peak = f"peak {memory.peak_gib:.2f} GiB of {memory.available_gib:.1f} GiB ({memory.scope})"
    if memory.weights_file_gib is not None:
        peak += f"; weights file {memory.weights_file_gib:.3f} GiB"
    if memory.kv_bytes_per_token is not None:
        peak += f"; KV cache {memory.kv_bytes_per_token / BYTES_PER_KIB:.1f} KiB per token"
    table.add_row("memory", peak)
    if memory.loaded_gib is not None and memory.kv_cache_gib is not None:
        table.add_row("  after loading", _memory_parts(memory))
    power = missing.get("power", "-")
    if profile.power is not None:
        power = f"idle {profile.power.idle_w:.0f} W, loaded {profile.power.loaded_w:.0f} W ({profile.power.scope})"
    table.add_row("power", power)
    load = missing.get("load_time_s", "-") if profile.load_time_s is None else f"{profile.load_time_s:.2f} s"
    table.add_row("load time", load)
    table.add_row("client health", _client_health(profile))
    fit = profile.fit
    if fit.held_out_tpot_error_frac is not None and fit.held_out_ttft_error_frac is not None:
        table.add_row(
            "model error",
            f"TPOT {fit.held_out_tpot_error_frac:.0%}, TTFT {fit.held_out_ttft_error_frac:.0%} "
            f"on points left out of the fit ({fit.points} points)",
        )
    for run in profile.held_back:
        load = "" if run.load_frac is None else f" ({run.load_frac:.0%} of capacity)"
        tpot = "" if run.tpot_mean is None else f"TPOT {run.tpot_mean.error_frac:+.0%}, "
        table.add_row(
            "held-back run",
            f"{run.rate_per_s:.3g} requests/s{load}: predicted {tpot}E2E {run.e2e_mean.error_frac:+.0%}, "
            f"TTFT p95 {run.ttft_p95.error_frac:+.0%} off ({run.requests} requests{_speed(run)})",
        )
    few = sum(1 for level in profile.levels if level.ttft_s is not None and level.ttft_s.count < P99_MIN_COUNT)
    if few:
        table.add_row(
            "p99", f"indicative only at {few} of {len(profile.levels)} levels (fewer than {P99_MIN_COUNT} requests)"
        )
    if profile.provenance.is_synthetic:
        table.add_row("weights", "synthetic, random: speed and memory are real, the text is meaningless")
    return table


def _speed(run: HeldBackRun) -> str:
    return "" if run.slowness is None else f"; the cores at {1 / run.slowness:.0%} of their speed in the fitted levels"


def _memory_parts(memory: Memory) -> str:
    parts = [f"KV cache {memory.kv_cache_gib:.3f}"]
    if memory.weights_gib is not None and memory.overhead_gib is not None:
        parts = [f"weights {memory.weights_gib:.3f}", *parts, f"rest {memory.overhead_gib:.3f}"]
    text = f"{memory.loaded_gib:.3f} GiB: {', '.join(parts)}"
    if memory.kv_bytes_per_token_measured is not None:
        text += f"; measured {memory.kv_bytes_per_token_measured / BYTES_PER_KIB:.1f} KiB of cache per token"
    return text


def _client_health(profile: Profile) -> str:
    cpu = [level.client_cpu_frac for level in profile.levels if level.client_cpu_frac is not None]
    lags = [level.client_lag_s.p95 for level in profile.levels if level.client_lag_s is not None]
    failures = sum(sum(level.failures.values()) for level in profile.levels)
    invalid = sum(1 for level in profile.levels if not level.valid)
    text = f"at most {max(cpu, default=0.0):.1%} of a core, p95 send lag at most {_ms(max(lags, default=0.0))} ms"
    return f"{text}, {failures} failed requests, {invalid} of {len(profile.levels)} levels invalid"


def print_profile(profile: Profile, *, already_said: Collection[str] = ()) -> None:
    """The tables of a profile, on standard error, and every note that a reader should know and has not seen yet."""
    log.print(levels_table(profile.levels))
    log.print(facts_table(profile))
    for note in profile.provenance.notes:
        if note in already_said:
            continue
        log.print(f"  note: {note}", style="dim", markup=False)


def print_import(imported: Imported) -> None:
    """The levels of another tool's files and what to know of its figures, on standard error."""
    log.print(levels_table(imported.levels))
    fit = imported.profile.fit if imported.profile is not None else None
    if fit is not None and fit.held_out_tpot_error_frac is not None:
        ttft = "" if fit.held_out_ttft_error_frac is None else f", TTFT {fit.held_out_ttft_error_frac:.0%}"
        log.print(
            f"  model error: TPOT {fit.held_out_tpot_error_frac:.0%}{ttft} on points left out ({fit.points} points)"
        )
    for note in imported.notes:
        log.print(f"  note: {note}", style="dim", markup=False)
