"""InferenceX (formerly InferenceMAX): `agg_*.json`, one measured configuration a row, latencies in seconds.

A row is a vLLM-style closed-loop run. Lengths are drawn between a share of the nominal ones and the nominal ones, so
the true means are lower than `isl` and `osl` say: where the row has latencies and both throughputs they are recovered
from (E2E - TTFT) / TPOT + 1 output tokens and the ratio of the throughputs.
"""

from planner.imports.document import Document, Row, has, iso_date, positive, text
from planner.imports.record import Subject, ToolLevel, ToolResult
from planner.profile import Statistics

NAME = "InferenceX"

LENGTHS = (
    "InferenceX draws lengths below the nominal ones (8k requests average 7.4k): the lengths here are recovered from "
    "latencies and throughputs where a row has them"
)
CLIENT = "its client is vLLM's: the first chunk counts as first token, and rates include ramp and drain"
TUNED = (
    "its servers are started for exactly the benchmark's lengths (context = prompt + output): a general server holds "
    "less"
)


def detects(document: Document) -> bool:
    return has(document.first, "conc", "isl", "osl") and any(f"{kind}_ttft" in document.first for kind in _KINDS)


_KINDS = ("mean", "median")


def read(document: Document) -> list[ToolResult]:
    results = []
    for index, row in enumerate(document.rows):
        level = _level(row)
        if level is None:
            continue
        gpus = _gpus(row)
        hardware = text(row, "hw")
        results.append(
            ToolResult(
                tool=NAME,
                tool_version=None,
                file=document.name,
                sha256=document.sha256,
                measured_at=iso_date(text(row, "date")),
                subject=Subject(
                    model=text(row, "model") or text(row, "infmax_model_prefix"),
                    engine=text(row, "framework"),
                    engine_version=_version(text(row, "image")),
                    precision=text(row, "precision"),
                    hardware=hardware,
                    parallelism=_parallelism(row),
                ),
                levels=(level,),
                accelerators=(hardware.split("-")[0],) * gpus if hardware else (),
                loaded_gpu_w=positive(row, "avg_total_gpu_power_w") if row.get("power_valid") is not False else None,
                biases=(LENGTHS, CLIENT, TUNED),
                notes=(f"{document.place(index)} is disaggregated",) if _is_true(row.get("disagg")) else (),
            )
        )
    return results


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _gpus(row: Row) -> int:
    """tp * pp * pcp, or the prefill and decode machines of a disaggregated one; 1 where nothing is said."""
    split = (positive(row, "num_prefill_gpu") or 0.0) + (positive(row, "num_decode_gpu") or 0.0)
    if split:
        return int(split)
    product = 1.0
    for name in ("tp", "pp", "pcp_size"):
        product *= positive(row, name) or 1.0
    return int(product)


def _parallelism(row: Row) -> str:
    sizes = [
        f"{name}{size:.0f}"
        for name in ("tp", "pp", "ep")
        if (size := positive(row, name)) and (size > 1 or name == "tp")
    ]
    sizes += ["dp-attention"] if _is_true(row.get("dp_attention")) else []
    sizes += ["disagg"] if _is_true(row.get("disagg")) else []
    speculative = text(row, "spec_decoding")
    sizes += [f"spec-{speculative}"] if speculative and speculative.lower() not in ("none", "false") else []
    return " ".join(sizes)


def _version(image: str | None) -> str | None:
    """The tag of a container image: `vllm/vllm-openai:v0.11.0` is v0.11.0."""
    return None if image is None or ":" not in image else image.rpartition(":")[2].split("@")[0]


def _level(row: Row) -> ToolLevel | None:
    conc, ttft, tpot = positive(row, "conc"), _block(row, "ttft"), _block(row, "tpot")
    isl, osl = positive(row, "isl"), positive(row, "osl")
    if conc is None or ttft is None or isl is None or osl is None:
        return None
    e2e = _block(row, "e2el")
    inputs, outputs = isl, osl
    speed_in, speed_out = positive(row, "input_tput_per_gpu"), positive(row, "output_tput_per_gpu")
    if e2e is not None and tpot is not None and "mean_e2el" in row and speed_in and speed_out:
        recovered = 1 + (e2e.mean - ttft.mean) / tpot.mean
        if 0.5 * osl < recovered <= 1.02 * osl:
            outputs = min(recovered, osl)
            inputs = min(outputs * speed_in / speed_out, isl)
    if e2e is None and tpot is not None:
        e2e = Statistics(mean=ttft.mean + (outputs - 1) * tpot.mean)
    rate = None if speed_out is None else speed_out * _gpus(row) / outputs
    return ToolLevel(
        mode="closed",
        target=conc,
        concurrency=conc,
        requests_per_s=rate,
        input_tokens_per_s=None if speed_in is None else speed_in * _gpus(row),
        output_tokens_per_s=None if speed_out is None else speed_out * _gpus(row),
        input_tokens=Statistics(mean=inputs),
        output_tokens=Statistics(mean=outputs),
        ttft_s=ttft,
        tpot_s=tpot,
        itl_s=_block(row, "itl"),
        e2e_s=e2e,
        notes=() if "mean_ttft" in row else ("medians stand in for means, which the row does not have",),
    )


def _block(row: Row, name: str) -> Statistics | None:
    middle = positive(row, f"median_{name}")
    average = positive(row, f"mean_{name}") or middle
    if average is None:
        return None
    return Statistics(mean=average, p50=middle, p95=positive(row, f"p95_{name}"), p99=positive(row, f"p99_{name}"))
