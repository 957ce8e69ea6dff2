"""One engine, compiled: continuous batching at the level of steps, with exact leaps while it only decodes.

A step holds one token of every decoding sequence and, as far as the token budget goes, the next tokens of prompts in
order of admission. The last token of a prompt yields the first output token at the end of its step. New requests are
seen at step boundaries, first come first served. With paged KV a prompt is admitted when it fits as a whole; when the
decoding sequences outgrow the memory, the newest one is put back to the head of the queue and recomputed.

While nothing but decoding happens, K grows by D a step, so k steps take k * a + resident * D * k * (k - 1) / 2 with a
the first of them: the engine leaps to the next completion, to the arrival that could join, or to the step that memory
stops.
"""

import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Machine code through numba, kept on disk beside the module."""
    return cast("Callable[P, R]", njit(cache=True, nogil=True)(function))


@_compiled
def _push(keys: Ints, values: Ints, size: int, key: int, value: int) -> int:
    """Insert into a binary min-heap of `size` entries; gives the new size."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if keys[parent] <= key:
            break
        keys[at], values[at] = keys[parent], values[parent]
        at = parent
    keys[at], values[at] = key, value
    return size + 1


@_compiled
def _remove(keys: Ints, values: Ints, size: int, at: int) -> int:
    """Take entry `at` out of the heap; gives the new size."""
    size -= 1
    key, value = keys[size], values[size]
    while at > 0 and keys[(at - 1) >> 1] > key:
        parent = (at - 1) >> 1
        keys[at], values[at] = keys[parent], values[parent]
        at = parent
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[at], values[at] = keys[child], values[child]
        at = child
    keys[at], values[at] = key, value
    return size


@_compiled
def _steps_until(gap_s: float, first_s: float, growth_s: float) -> int:
    """Fewest steps k >= 1 with k * first + growth * k * (k - 1) / 2 >= gap."""
    half = 0.5 * growth_s
    if gap_s <= first_s:
        return 1
    if half <= 0.0:
        k = int(gap_s / first_s)
    else:
        b = first_s - half
        k = int((math.sqrt(b * b + 4.0 * half * gap_s) - b) / (2.0 * half))
    k = max(k - 1, 1)
    while k * first_s + half * k * (k - 1) < gap_s:
        k += 1
    return k


@_compiled
def run_engine(
    ids: Ints,
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    in_flight: int,
    base_s: float,
    prefill_s: float,
    resident_s: float,
    pair_s: float,
    squared_context_s: float,
    decode_s: Floats,
    max_sequences: int,
    budget: int,
    kv_capacity: int,
    scheduled_s: Floats,
    first_s: Floats,
    last_s: Floats,
) -> tuple[float, int, int]:
    """Serve the requests `ids` (in order of arrival) on one engine.

    Writes when each was first scheduled and when it got its first and its last token.

    `in_flight` > 0 makes it a closed loop: that many requests at time 0, then one for every one that ends, and
    `arrival_s` is written. `decode_s[d]` is the cost of d decoding sequences; `kv_capacity` < 0 means slots, where
    memory never stops a request. Gives (busy seconds, steps, preemptions).
    """
    n = ids.size
    released = n
    if in_flight > 0:
        released = min(in_flight, n)
        for j in range(released):
            arrival_s[ids[j]] = 0.0
    generated = np.zeros(prompt.size, np.int64)
    done = np.zeros(prompt.size, np.int64)
    admission = np.zeros(prompt.size, np.int64)
    heap_end = np.empty(max_sequences + 1, np.int64)
    heap_id = np.empty(max_sequences + 1, np.int64)
    filling = np.empty(max_sequences + 1, np.int64)  # admitted requests whose prompt is not done, oldest first
    returned = np.empty(max_sequences + 1, np.int64)  # preempted requests, next one last
    returned_size = 0
    filling_size = 0
    d = 0  # decoding sequences = entries in the heap
    head = 0  # next never-admitted request
    seen = 0  # requests that have arrived
    clock = 0  # steps done
    admissions = 0
    kv_decoding = 0  # tokens resident for decoding sequences
    kv_used = 0  # the same plus reserved prompts
    paged = kv_capacity >= 0
    now = 0.0
    busy = 0.0
    preemptions = 0
    while True:
        while seen < released and arrival_s[ids[seen]] <= now:
            seen += 1

        while paged and d > 0 and kv_used + d > kv_capacity:
            newest = -1
            at = -1
            for j in range(d):
                if newest < 0 or admission[heap_id[j]] > admission[newest]:
                    newest, at = heap_id[j], j
            if filling_size > 0 and admission[filling[filling_size - 1]] > admission[newest]:
                filling_size -= 1
                newest = filling[filling_size]
                kv_used -= prompt[newest] + generated[newest]
            else:
                generated[newest] = output[newest] - (heap_end[at] - clock)
                resident = prompt[newest] + generated[newest] - 1
                d = _remove(heap_end, heap_id, d, at)
                kv_used -= resident
                kv_decoding -= resident
            done[newest] = 0
            returned[returned_size] = newest
            returned_size += 1
            preemptions += 1

        left = budget - d
        tokens = 0
        pairs = 0.0
        cubes = 0.0
        for j in range(filling_size):
            if left <= 0:
                break
            i = filling[j]
            chunk = min(prompt[i] + generated[i] - done[i], left)
            pairs += chunk * (done[i] + 0.5 * chunk)
            cubes += float(done[i] + chunk) ** 3 - float(done[i]) ** 3
            done[i] += chunk
            tokens += chunk
            left -= chunk
        while left > 0 and d + filling_size < max_sequences and (returned_size > 0 or head < seen):
            i = returned[returned_size - 1] if returned_size > 0 else ids[head]
            need = prompt[i] + generated[i]
            if paged and kv_used + d + need > kv_capacity:
                break
            if returned_size > 0:
                returned_size -= 1
            else:
                head += 1
                scheduled_s[i] = now
            admissions += 1
            admission[i] = admissions
            kv_used += need
            filling[filling_size] = i
            filling_size += 1
            chunk = min(need, left)
            pairs += chunk * 0.5 * chunk
            cubes += float(chunk) ** 3
            done[i] = chunk
            tokens += chunk
            left -= chunk

        if tokens == 0 and d == 0:
            if seen >= released:
                break
            now = arrival_s[ids[seen]]
            continue

        k = 1
        length = base_s + decode_s[d] + resident_s * (kv_decoding + d)
        if tokens > 0:
            length += prefill_s * tokens + pair_s * pairs + squared_context_s * cubes / 3.0
        else:
            k = heap_end[0] - clock
            growth = resident_s * d
            if paged:
                k = min(k, (kv_capacity - kv_used) // d)
            if returned_size == 0 and head == seen and seen < released and d + filling_size < max_sequences and k > 1:
                k = min(k, _steps_until(arrival_s[ids[seen]] - now, length, growth))
            length = k * length + growth * (0.5 * k * (k - 1))
        now += length
        busy += length
        clock += k
        kv_decoding += k * d
        kv_used += k * d

        while d > 0 and heap_end[0] == clock:
            i = heap_id[0]
            d = _remove(heap_end, heap_id, d, 0)
            resident = prompt[i] + output[i] - 1
            kv_used -= resident
            kv_decoding -= resident
            last_s[i] = now
            if released < n:
                arrival_s[ids[released]] = now
                released += 1

        if tokens > 0:
            kept = 0
            for j in range(filling_size):
                i = filling[j]
                need = prompt[i] + generated[i]
                if done[i] < need:
                    filling[kept] = i
                    kept += 1
                    continue
                if generated[i] == 0:
                    first_s[i] = now
                generated[i] += 1
                if generated[i] >= output[i]:
                    kv_used -= need
                    last_s[i] = now
                    if released < n:
                        arrival_s[ids[released]] = now
                        released += 1
                else:
                    kv_decoding += need
                    d = _push(heap_end, heap_id, d, clock + output[i] - generated[i], i)
            filling_size = kept
    return busy, clock, preemptions
