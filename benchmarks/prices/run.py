"""How fast request shapes are priced: ten thousand different ones on one model, and each one alone."""

import time
from datetime import UTC, datetime
from random import Random

from pricing.api import DEFAULT_MODELS, api_bill
from pricing.tally import tally_shapes
from pricing.types import RequestShape, ShapeCount

SHAPES = 10_000
MONTHS = [datetime(2026 + n // 12, n % 12 + 1, 15, 12, tzinfo=UTC) for n in range(11, 47)]


def shapes() -> list[ShapeCount]:
    rng = Random(1)
    rows = []
    for _ in range(SHAPES):
        given = rng.randint(1, 100_000)
        shape = RequestShape(
            input_tokens=given,
            cached_input_tokens=rng.randint(0, given),
            output_tokens=rng.randint(1, 4_000),
        )
        rows.append(ShapeCount(shape=shape, count=rng.randint(1, 1_000)))
    return rows


def best_of(repeats: int, work) -> float:
    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats))


def main() -> None:
    rows = shapes()
    model, at = DEFAULT_MODELS[0], MONTHS[0]
    api_bill(model, rows[:1], at)  # loads the price data
    tally = tally_shapes(rows)
    total = api_bill(model, tally, at).total_usd
    alone = sum(api_bill(model, [row], at).total_usd for row in rows)
    assert total == alone, "the sum of single bills is the bill of all"
    print(f"{SHAPES:,} shapes in one bill: {best_of(5, lambda: api_bill(model, rows, at)):.3f} s")
    print(f"{SHAPES:,} shapes, one bill each: {best_of(3, lambda: [api_bill(model, [r], at) for r in rows]):.3f} s")
    every = best_of(3, lambda: [api_bill(m, tally, month) for m in DEFAULT_MODELS[:6] for month in MONTHS])
    print(f"{SHAPES:,} shapes on 6 models in {len(MONTHS)} months: {every:.3f} s")


if __name__ == "__main__":
    main()
