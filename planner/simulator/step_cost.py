"""What a step, a prompt and a lone request cost by a `StepTime`: plain formulas, no fitting."""

import math

from planner.profile import EngineLimits, StepTime


def decode_s(step_time: StepTime, sequences: float) -> float:
    """Seconds that decoding one token for each of `sequences` adds to a step; 0 for none.

    A curve through (1, 0.0) and (4, 0.006) gives 0.002 s at 2 sequences and 0.008 s at 5. Beyond its last point no
    curve falls: (4, 0.006) and (5, 0.005) give 0.005 s at 6.
    """
    if sequences <= 0:
        return 0.0
    curve = step_time.decode_curve
    if not curve:
        return step_time.per_sequence_s * sequences + step_time.per_sqrt_sequence_s * math.sqrt(sequences)
    if sequences <= curve[0][0] or len(curve) == 1:
        return curve[0][1]
    right = next((k for k in range(1, len(curve)) if sequences <= curve[k][0]), len(curve) - 1)
    (d0, t0), (d1, t1) = curve[right - 1], curve[right]
    if sequences > d1 and t1 < t0:
        return t1
    return t0 + (t1 - t0) * (sequences - d0) / (d1 - d0)


def step_s(
    step_time: StepTime,
    *,
    prefill_tokens: float,
    sequences: float,
    resident_tokens: float,
    attention_pairs: float,
    context_cubes: float = 0.0,
) -> float:
    """Duration of one engine step in seconds, as `StepTime` defines it.

    With base 5 ms, 0.1 ms a prompt token, 1 ms a sequence: 100 prompt tokens beside 4 sequences take 19 ms.
    """
    return (
        step_time.base_s
        + (step_time.mixed_step_s if prefill_tokens > 0 and sequences > 0 else 0.0)
        + step_time.per_prefill_token_s * prefill_tokens
        + decode_s(step_time, sequences)
        + step_time.per_resident_token_s * resident_tokens
        + step_time.per_attention_pair_s * attention_pairs
        + step_time.per_squared_context_s * context_cubes / 3
    )


def prompt_s(step_time: StepTime, input_tokens: float) -> float:
    """What a whole prompt adds to its steps: prefill * I + pair * I^2 / 2 + squared_context * I^3 / 3.

    1000 tokens at 1 ms each and 1 us a pair take 1.5 s.
    """
    return (
        step_time.per_prefill_token_s * input_tokens
        + step_time.per_attention_pair_s * input_tokens**2 / 2
        + step_time.per_squared_context_s * input_tokens**3 / 3
    )


def lone_ttft_s(step_time: StepTime, limits: EngineLimits, input_tokens: float) -> float:
    """TTFT of a request that has the engine to itself: overhead + steps * base + prompt(I)."""
    steps = prompt_steps(input_tokens, limits)
    return step_time.request_overhead_s + steps * step_time.base_s + prompt_s(step_time, input_tokens)


def prompt_steps(input_tokens: float, limits: EngineLimits) -> int:
    """Steps that a prompt takes alone: 5,000 tokens at 2,048 a step take 3."""
    return max(1, math.ceil(input_tokens / limits.step_token_budget))
