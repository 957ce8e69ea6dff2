"""One engine, compiled: continuous batching at the level of steps, with exact leaps while it only decodes.

A step holds one token of every decoding sequence and, as far as the token budget goes, the next tokens of prompts in
order of admission. The last token of a prompt yields the first output token at the end of its step. New requests are
seen at step boundaries, first come first served. With paged KV a prompt is admitted when it fits as a whole; when the
decoding sequences outgrow the memory, the newest one is put back to the head of the queue and recomputed.

While nothing but decoding happens, K grows by D a step, so k steps take k * a + resident * D * k * (k - 1) / 2 with a
the first of them: the engine leaps to the next completion, to the arrival that could join, or to the step that memory
stops.

The engine's state is two small arrays, so that a router can advance many engines to the moment of an arrival.
"""

import math

import numpy as np

from planner.simulator.cache import Floats, Ints, compiled, matched, remember


@compiled
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


@compiled
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


@compiled
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


RETURNED, FILLING, DECODING, HEAD, TAIL, CLOCK, ADMISSIONS, KV_DECODING, KV_USED, PREEMPTIONS, OUTSTANDING = range(11)
"""Places in an engine's whole-number state: preempted requests to take first, admitted requests with unfinished
prompts, decoding sequences, first and last never-admitted request (-1: none), steps done, admissions so far, tokens
resident for decoding sequences, the same plus reserved prompts, preemptions so far, requests not finished."""
STATES = 11

NOW, BUSY = range(2)
"""Places in an engine's other state, in seconds."""

BASE, PREFILL, RESIDENT, PAIR, SQUARED_CONTEXT, MIXED = range(6)
"""Places of the step-time coefficients."""

IN_TURN, LEAST_LOADED, BY_PREFIX = range(3)
"""How requests find their engine."""


@compiled
def advance(
    state: Ints,
    times_s: Floats,
    heap_end: Ints,
    heap_id: Ints,
    filling: Ints,
    returned: Ints,
    until_s: float,
    unsent: int,
    resend_s: float,
    following: Ints,
    arrival_s: Floats,
    leave_s: Floats,
    prompt: Ints,
    cached: Ints,
    output: Ints,
    generated: Ints,
    done: Ints,
    admission: Ints,
    cost: Floats,
    decode_s: Floats,
    max_sequences: int,
    budget: int,
    kv_capacity: int,
    scheduled_s: Floats,
    first_s: Floats,
    last_s: Floats,
) -> None:
    """Run one engine until its clock reaches `until_s` at a step boundary, or until nothing is left to do.

    Its queue is a chain: `following[i]` is the request after i, -1 the end. `unsent` >= 0 makes a closed loop: requests
    from there on have not arrived (infinity), and each completion has the next arrive `resend_s` later. A request that
    is still at the head of the queue at the first step boundary after `leave_s[i]` leaves unserved. `cached[i]` prompt
    tokens are in the prefix cache and only have to be attended to. `decode_s[d]` is the cost of d decoding sequences;
    `kv_capacity` < 0 means slots, where memory never stops a request.
    """
    returned_size, filling_size, d = state[RETURNED], state[FILLING], state[DECODING]
    head, clock, admissions = state[HEAD], state[CLOCK], state[ADMISSIONS]
    kv_decoding, kv_used = state[KV_DECODING], state[KV_USED]
    now, busy = times_s[NOW], times_s[BUSY]
    paged = kv_capacity >= 0
    while now < until_s:
        while paged and d > 0 and kv_used + d > kv_capacity:
            newest = heap_id[0]
            at = 0
            for j in range(1, d):
                if admission[heap_id[j]] > admission[newest]:
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
            returned[returned_size] = newest
            returned_size += 1
            state[PREEMPTIONS] += 1

        while head >= 0 and arrival_s[head] <= now and leave_s[head] < now:
            head = following[head]
            state[OUTSTANDING] -= 1

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
        while left > 0 and d + filling_size < max_sequences:
            if returned_size > 0:
                i = returned[returned_size - 1]
            elif head >= 0 and arrival_s[head] <= now:
                i = head
            else:
                break
            need = prompt[i] + generated[i]
            if paged and kv_used + d + need > kv_capacity:
                break
            if returned_size > 0:
                returned_size -= 1
            else:
                head = following[i]
                scheduled_s[i] = now
            admissions += 1
            admission[i] = admissions
            kv_used += need
            filling[filling_size] = i
            filling_size += 1
            known = cached[i]
            chunk = min(need - known, left)
            pairs += chunk * (known + 0.5 * chunk)
            cubes += float(known + chunk) ** 3 - float(known) ** 3
            done[i] = known + chunk
            tokens += chunk
            left -= chunk

        if tokens == 0 and d == 0:
            if head < 0 or arrival_s[head] == np.inf:
                break
            now = arrival_s[head]
            continue

        k = 1
        length = cost[BASE] + decode_s[d] + cost[RESIDENT] * (kv_decoding + d)
        if tokens > 0:
            length += cost[PREFILL] * tokens + cost[PAIR] * pairs + cost[SQUARED_CONTEXT] * cubes / 3.0
            if d > 0:
                length += cost[MIXED]
        else:
            k = heap_end[0] - clock
            growth = cost[RESIDENT] * d
            if paged:
                k = min(k, (kv_capacity - kv_used) // d)
            if k > 1 and returned_size == 0 and head >= 0 and d + filling_size < max_sequences:
                gap_s = arrival_s[head] - now
                if gap_s <= 0.0:  # memory keeps it waiting; the one behind it may fit when it has left
                    gap_s = leave_s[head] - now
                if 0.0 < gap_s < np.inf:
                    k = min(k, _steps_until(gap_s, length, growth))
            if k > 1 and until_s < np.inf:
                k = min(k, _steps_until(until_s - now, length, growth))
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
            state[OUTSTANDING] -= 1
            if unsent >= 0:
                arrival_s[unsent] = now + resend_s
                unsent = following[unsent]

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
                    state[OUTSTANDING] -= 1
                    if unsent >= 0:
                        arrival_s[unsent] = now + resend_s
                        unsent = following[unsent]
                else:
                    kv_decoding += need
                    d = _push(heap_end, heap_id, d, clock + output[i] - generated[i], i)
            filling_size = kept
    state[RETURNED], state[FILLING], state[DECODING] = returned_size, filling_size, d
    state[HEAD], state[CLOCK], state[ADMISSIONS] = head, clock, admissions
    state[KV_DECODING], state[KV_USED] = kv_decoding, kv_used
    times_s[NOW], times_s[BUSY] = now, busy


@compiled
def run_fleet(
    ids: Ints,
    replicas: int,
    routing: int,
    slack: int,
    block_start: Ints,
    blocks: Ints,
    block_count: int,
    block_tokens: int,
    cache_blocks: int,
    in_flight: int,
    resend_s: float,
    arrival_s: Floats,
    leave_s: Floats,
    prompt: Ints,
    cached: Ints,
    output: Ints,
    cost: Floats,
    decode_s: Floats,
    max_sequences: int,
    budget: int,
    kv_capacity: int,
    scheduled_s: Floats,
    first_s: Floats,
    last_s: Floats,
) -> tuple[Floats, int, int]:
    """Serve the requests `ids` (in order of arrival) on a number of engines.

    Writes when each was first scheduled and when it got its first and its last token. Requests are dealt in turn, or
    each to the engine with the fewest unfinished requests when it arrives, or, by prefix, to the one that has seen most
    of its prompt's first blocks among those with at most `slack` unfinished requests more than the fewest; the fewest
    among equals, then in turn. Prompt i has the blocks `blocks[block_start[i]:block_start[i + 1]]` of `block_tokens`
    each, numbered from 0 to `block_count` - 1; every engine remembers `cache_blocks` of them from the moment that it is
    sent them, and `cached` is then written. Without blocks `cached` holds.
    `in_flight` > 0 makes it a closed loop on one engine: that many requests arrive at their times, then one `resend_s`
    after every one that ends; `arrival_s` is written. Gives (busy seconds of each engine, steps, preemptions).
    """
    n = ids.size
    following = np.full(prompt.size, -1, np.int64)
    generated = np.zeros(prompt.size, np.int64)
    done = np.zeros(prompt.size, np.int64)
    admission = np.zeros(prompt.size, np.int64)
    state = np.zeros((replicas, STATES), np.int64)
    times_s = np.zeros((replicas, 2))
    heap_end = np.empty((replicas, max_sequences + 1), np.int64)
    heap_id = np.empty((replicas, max_sequences + 1), np.int64)
    filling = np.empty((replicas, max_sequences + 1), np.int64)
    returned = np.empty((replicas, max_sequences + 1), np.int64)
    state[:, HEAD] = -1
    state[:, TAIL] = -1
    has_blocks = block_count > 0
    touched = np.full((replicas, block_count), -1, np.int64)
    cache_size = np.zeros(replicas, np.int64)
    log = np.empty(blocks.size, np.int64)
    log_next = np.full(blocks.size, -1, np.int64)
    ends = np.full((replicas, 2), -1, np.int64)
    known = np.zeros(replicas, np.int64)
    touches = 0
    unsent = -1
    turn = 0
    for j in range(n):
        i = ids[j]
        mine = blocks[block_start[i] : block_start[i + 1]] if has_blocks else blocks
        r = turn
        if routing != IN_TURN:
            for step in range(replicas):
                a = (turn + step) % replicas
                advance(
                    state[a], times_s[a], heap_end[a], heap_id[a], filling[a], returned[a], arrival_s[i], unsent,
                    resend_s, following, arrival_s, leave_s, prompt, cached, output, generated, done, admission, cost,
                    decode_s, max_sequences, budget, kv_capacity, scheduled_s, first_s, last_s,
                )  # fmt: skip
                if state[a, OUTSTANDING] < state[r, OUTSTANDING]:
                    r = a
        if routing == BY_PREFIX and has_blocks:
            most = state[r, OUTSTANDING] + slack
            for a in range(replicas):
                known[a] = matched(mine, touched[a])
            for step in range(replicas):
                a = (turn + step) % replicas
                if state[a, OUTSTANDING] <= most and (
                    known[a] > known[r] or (known[a] == known[r] and state[a, OUTSTANDING] < state[r, OUTSTANDING])
                ):
                    r = a
        if has_blocks:
            cached[i] = min(matched(mine, touched[r]) * block_tokens, prompt[i] - 1)
            cache_size[r] = remember(mine, touched[r], cache_size[r], cache_blocks, log, log_next, ends[r], touches)
            touches += mine.size
        if in_flight > 0:
            if j >= in_flight:
                arrival_s[i] = np.inf
            if j == in_flight:
                unsent = i
        if state[r, TAIL] >= 0:
            following[state[r, TAIL]] = i
        state[r, TAIL] = i
        if state[r, HEAD] < 0:
            state[r, HEAD] = i
        state[r, OUTSTANDING] += 1
        turn = (turn + 1) % replicas
    for a in range(replicas):
        advance(
            state[a], times_s[a], heap_end[a], heap_id[a], filling[a], returned[a], np.inf, unsent,
            resend_s, following, arrival_s, leave_s, prompt, cached, output, generated, done, admission, cost, decode_s,
            max_sequences, budget, kv_capacity, scheduled_s, first_s, last_s,
        )  # fmt: skip
    return times_s[:, BUSY].copy(), int(state[:, CLOCK].sum()), int(state[:, PREEMPTIONS].sum())
