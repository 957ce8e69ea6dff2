"""Does the model fit into an offered machine's memory: weights and the KV cache of at least its longest request."""

import math

from planner.capacity.staircase import Shortfall
from planner.profile import Profile
from planner.units import BYTES_PER_GIB


def memory_shortfall(
    profile: Profile, *, available_gib: float, replicas: float, longest_request_tokens: int
) -> Shortfall | None:
    """What is short where `replicas` of the profile's model do not fit into `available_gib`; `None` where they do.

    Needed is, for each replica, the weights and the KV cache of one longest request: less serves nobody. Where the
    size of the weights is not known, the peak that the server's process held stands for both; where neither is, nothing
    can be said and `None` is given.

    Weights of 140 GiB and 0.3 MiB of KV a token on 80 GiB: 8,192 tokens need 142.4 GiB; advised are weights of at most
    77.6 GiB (55 % of their size: quantise), or two such machines' memory (tensor parallel).
    """
    memory = profile.memory
    per_token_gib = (memory.kv_bytes_per_token or 0.0) / BYTES_PER_GIB
    kv_gib = per_token_gib * longest_request_tokens
    if memory.weights_file_gib is not None:
        weights_gib = memory.weights_file_gib
    elif memory.peak_gib is not None and memory.scope == "process":
        weights_gib, kv_gib = memory.peak_gib, 0.0
    else:
        return None
    count = max(math.floor(replicas), 1)
    needed = count * (weights_gib + kv_gib)
    if needed <= available_gib:
        return None
    fixes = []
    room_gib = available_gib / count
    if count > 1:
        fixes.append(f"put {math.floor(available_gib / (weights_gib + kv_gib))} replicas on it and not {count}")
    if room_gib > kv_gib:
        fixes.append(
            f"quantise the weights to at most {room_gib - kv_gib:.3g} GiB, "
            f"{(room_gib - kv_gib) / weights_gib:.0%} of their size"
        )
    if room_gib > weights_gib and per_token_gib > 0:
        fixes.append(f"keep requests to {int((room_gib - weights_gib) / per_token_gib):,} tokens (shorter context)")
    fixes.append(f"spread a replica over {math.ceil(needed / available_gib)} times the memory (tensor parallel)")
    return Shortfall(
        bottleneck="memory",
        needed=needed,
        available=available_gib,
        unit="GiB",
        advice=f"{count} replica(s) of {weights_gib:.3g} GiB of weights and {kv_gib:.2g} GiB for the longest request "
        f"do not fit: {', or '.join(fixes)}",
    )
