"""How long a step took at each number of sequences, level by level: python benchmarks/live/steps.py RUN_DIR ...

From the arrival times of the tokens in `requests.jsonl`: tokens of different requests within 3 ms are one step, and a
step counts where it only decodes, for requests that all were in the step before. Prints medians [ms] of at least 16
steps. A level that is slower than another at the same number of sequences was run by a slower machine.
"""

import itertools
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

TOGETHER_S = 0.003
LEAST_STEPS = 16

Token = tuple[float, int, int]  # when it came [s], request, place in the answer


def tokens_by_level(path: Path) -> dict[str, list[Token]]:
    levels: dict[str, list[Token]] = defaultdict(list)
    with path.open() as text:
        for number, line in enumerate(text):
            request = json.loads(line)
            if request["outcome"] == "ok":
                written_s = request["written_ns"] / 1e9
                offsets = request.get("content_offsets_us") or ()
                levels[request["level"]] += [(written_s + at / 1e6, number, place) for place, at in enumerate(offsets)]
    return levels


def steps_of(tokens: list[Token]) -> list[list[Token]]:
    steps: list[list[Token]] = []
    for token in sorted(tokens):
        last = steps[-1] if steps else None
        if last and token[0] - last[0][0] < TOGETHER_S and token[1] not in {number for _, number, _ in last}:
            last.append(token)
        else:
            steps.append([token])
    return steps


def medians_ms(tokens: list[Token]) -> dict[int, float]:
    lengths: dict[int, list[float]] = defaultdict(list)
    for before, step in itertools.pairwise(steps_of(tokens)):
        only_decodes = all(place > 0 for _, _, place in step)
        if only_decodes and {number for _, number, _ in step} <= {number for _, number, _ in before}:
            lengths[len(step)].append(step[0][0] - before[0][0])
    return {n: float(np.median(v)) * 1e3 for n, v in sorted(lengths.items()) if len(v) >= LEAST_STEPS}


def main() -> None:
    for directory in map(Path, sys.argv[1:]):
        print(f"{directory.name}: sequences: median step [ms]")
        for level, tokens in tokens_by_level(directory / "requests.jsonl").items():
            found = medians_ms(tokens)
            if found:
                print(f"  {level:26} " + "  ".join(f"{n}: {ms:.0f}" for n, ms in found.items()))


if __name__ == "__main__":
    main()
