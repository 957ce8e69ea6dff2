"""Does the tuning of the level model carry over to deployments that it was not chosen on?

    .venv/bin/python benchmarks/accuracy/folds.py

The 87 deployments are dealt into five folds by model, so that no model is on both sides. For each fold the tuning
(kernel widths, noise, interval factors, saturation rule) is chosen anew among random settings by the score on the other
four, and then scored on the fold: what a deployment of a model that nobody had seen would get. Prints the table of
benchmarks/accuracy/README.md.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from planner.errors import InputError
from planner.steptime.levels import TUNING, Field, Tuning, fit_levels
from planner.steptime.measurements import Deployment, read_level_table
from planner.steptime.validate import MIN_POINTS, fit_and_score_points

FOLDS = 5
SETTINGS = 40
TABLE = Path(__file__).parents[2] / "planner/data/silicon_sample.csv.gz"
NAMES = ("tpot", "e2e", "ttft")
TARGET_COVERAGE = 0.9


def random_tuning(rng: np.random.Generator) -> Tuning:
    """Every constant within a factor of about two and a half around a round value, whatever the shipped one is."""

    def near(value: float) -> float:
        return float(value * np.exp(rng.uniform(-0.9, 0.9)))

    return Tuning(
        tpot=Field(
            variance=near(0.005),
            noise=near(0.001),
            concurrency_scale=near(1.5),
            shape_scale=near(2.0),
            quantile=float(rng.uniform(1.6, 2.6)),
            prior_points=near(4.0),
        ),
        ttft=Field(
            variance=near(0.05),
            noise=near(0.005),
            concurrency_scale=near(1.5),
            shape_scale=near(2.0),
            quantile=float(rng.uniform(1.6, 2.8)),
            prior_points=near(4.0),
        ),
        queue_rise=float(rng.uniform(1.1, 2.0)),
        queue_exponent=float(rng.uniform(0.4, 1.1)),
        queue_share=float(rng.uniform(0.01, 0.1)),
    )


def scored(deployment: Deployment, tuning: Tuning) -> np.ndarray | None:
    """(error, inside) of TPOT, E2E and TTFT for every held-out point, shape (points, 6); `None` where it cannot be."""
    fitted, held_out = fit_and_score_points(deployment.points)
    if not held_out:
        return None
    try:
        model = fit_levels(fitted, tuning=tuning)
    except InputError:
        return None
    rows = []
    for p in held_out:
        forecast = model.forecast(concurrency=p.concurrency, input_tokens=p.input_tokens, output_tokens=p.output_tokens)
        tpot_s = p.tpot_s or 0.0
        measured = (tpot_s, p.ttft_s + (p.output_tokens - 1) * tpot_s, p.ttft_s)
        predicted = (forecast.tpot_s, forecast.e2e_s, forecast.ttft_s)
        errors = [abs(f.mid_s / m - 1) for f, m in zip(predicted, measured, strict=True)]
        inside = [f.low_s <= m <= f.high_s for f, m in zip(predicted, measured, strict=True)]
        rows.append([*errors, *inside])
    return np.array(rows, dtype=np.float64)


def loss(found: np.ndarray) -> float:
    """Medians and 90th percentiles in the proportion of the goals, and how far the coverage is from 90 %."""
    medians, tails = np.median(found[:, :3], axis=0), np.quantile(found[:, :3], 0.9, axis=0)
    coverage = found[:, 3:].mean(axis=0)
    goals = np.array([0.02, 0.02, 0.06]), np.array([0.08, 0.08, 0.28])
    return float((medians / goals[0]).sum() + (tails / goals[1]).sum() + 10 * np.abs(coverage - TARGET_COVERAGE).sum())


def joined(parts: Sequence[np.ndarray | None]) -> np.ndarray:
    return np.concatenate([part for part in parts if part is not None])


def show(name: str, found: np.ndarray) -> None:
    cells = []
    for k, what in enumerate(NAMES):
        error = found[:, k]
        cells.append(
            f"{what} {np.median(error):.1%} / {np.quantile(error, 0.9):.1%} (inside {found[:, 3 + k].mean():.1%})"
        )
    print(f"{name:28} {len(found):4d} points  " + "   ".join(cells), flush=True)


def main() -> None:
    deployments = [d for d in read_level_table(TABLE).deployments if len(d.points) >= MIN_POINTS]
    models = sorted({d.key[2] for d in deployments})
    rng = np.random.default_rng(1)
    fold_of = dict(zip(rng.permutation(models).tolist(), (k % FOLDS for k in range(len(models))), strict=True))
    settings = [random_tuning(rng) for _ in range(SETTINGS)]
    scores = [[scored(d, tuning) for d in deployments] for tuning in settings]
    folds = np.array([fold_of[d.key[2]] for d in deployments])
    unseen = []
    for fold in range(FOLDS):
        others = [loss(joined([part for part, f in zip(row, folds, strict=True) if f != fold])) for row in scores]
        best = scores[int(np.argmin(others))]
        unseen.append(joined([part for part, f in zip(best, folds, strict=True) if f == fold]))
        show(f"fold {fold + 1}, chosen on the rest", unseen[-1])
    show("all folds, never seen", joined(unseen))
    show("shipped tuning, seen", joined([scored(d, TUNING) for d in deployments]))
    losses = [loss(joined(row)) for row in scores]
    show("the best of the 40, seen", joined(scores[int(np.argmin(losses))]))
    show("the median of the 40", joined(scores[int(np.argsort(losses)[len(losses) // 2])]))


if __name__ == "__main__":
    main()
