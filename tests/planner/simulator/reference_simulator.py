"""The same engine written the plain way: one step at a time, objects in lists, no leaps, no heap, no running sums."""

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

from planner.profile import EngineLimits, Scheduler, StepTime
from planner.simulator.step_cost import step_s


@dataclass(eq=False)
class Request:
    index: int
    arrival_s: float
    prompt: int
    output: int
    cached: int = 0
    leave_s: float = float("inf")
    blocks: tuple[int, ...] = ()
    generated: int = 0
    computed: int = 0
    is_decoding: bool = False  # its prompt, or what is recomputed after a preemption, is done
    scheduled_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None


@dataclass
class Engine:
    step_time: StepTime
    limits: EngineLimits
    waiting: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)  # in order of admission
    now: float = 0.0
    busy_s: float = 0.0
    steps: int = 0
    preemptions: int = 0
    finished: list[Request] = field(default_factory=list)

    def memory(self) -> int:
        """Prompts are reserved as a whole; a decoding sequence holds all but its newest token."""
        return sum(r.prompt + r.generated - (1 if r.is_decoding else 0) for r in self.running)

    def lose_patience(self) -> None:
        """Who is the next to be served for the first time and has waited too long goes away."""
        while newcomers := [r for r in self.waiting if r.scheduled_s is None]:
            if newcomers[0].leave_s >= self.now:
                break
            self.waiting.remove(newcomers[0])

    def run_until(self, until_s: float) -> None:
        while self.now < until_s:
            self.lose_patience()
            if not self.waiting and not self.running:
                break
            self.step()

    def step(self) -> None:
        paged = self.limits.scheduler is Scheduler.PAGED
        decoding = [r for r in self.running if r.is_decoding]
        while paged and decoding and self.memory() + len(decoding) > self.limits.kv_capacity_tokens:
            newest = self.running.pop()
            newest.computed = 0
            newest.is_decoding = False
            self.waiting.insert(0, newest)
            self.preemptions += 1
            decoding = [r for r in self.running if r.is_decoding]
        left = self.limits.step_token_budget - len(decoding)
        chunks: list[tuple[Request, int]] = []
        for r in self.running:
            if not r.is_decoding and left > 0:
                chunks.append((r, min(left, r.prompt + r.generated - r.computed)))
                left -= chunks[-1][1]
        while left > 0 and self.waiting and len(self.running) < self.limits.max_sequences:
            r = self.waiting[0]
            need = r.prompt + r.generated
            if paged and self.memory() + len(decoding) + need > self.limits.kv_capacity_tokens:
                break
            self.running.append(self.waiting.pop(0))
            if r.scheduled_s is None:
                r.scheduled_s = self.now
            r.computed = r.cached
            chunks.append((r, min(left, need - r.cached)))
            left -= chunks[-1][1]
        seconds = step_s(
            self.step_time,
            prefill_tokens=sum(c for _, c in chunks),
            sequences=len(decoding),
            resident_tokens=sum(r.prompt + r.generated for r in decoding),
            attention_pairs=sum(c * (r.computed + c / 2) for r, c in chunks),
            context_cubes=sum((r.computed + c) ** 3 - r.computed**3 for r, c in chunks),
        )
        self.now += seconds
        self.busy_s += seconds
        self.steps += 1
        for r in decoding:
            r.generated += 1
            r.computed += 1
        for r, c in chunks:
            r.computed += c
            if r.computed == r.prompt + r.generated:
                r.generated += 1
                r.is_decoding = True
                if r.first_s is None:
                    r.first_s = self.now
        for r in list(self.running):
            if r.generated >= r.output:
                r.last_s = self.now
                self.running.remove(r)
                self.finished.append(r)


class Cache:
    """The blocks of a prefix cache, the longest unused first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks: OrderedDict[int, None] = OrderedDict()

    def matched(self, blocks: tuple[int, ...]) -> int:
        return len(list(itertools.takewhile(lambda block: block in self.blocks, blocks)))

    def remember(self, blocks: tuple[int, ...]) -> None:
        for block in reversed(blocks):
            self.blocks[block] = None
            self.blocks.move_to_end(block)
        while len(self.blocks) > self.capacity:
            self.blocks.popitem(last=False)


def serve(
    step_time: StepTime, limits: EngineLimits, requests: list[Request], in_flight: int = 0, resend_s: float = 0.0
) -> Engine:
    """Run until every request is served; a closed loop when `in_flight` > 0."""
    engine = Engine(step_time, limits)
    unsent = list(requests)
    pending = [unsent.pop(0) for _ in range(min(in_flight or len(unsent), len(unsent)))]
    while pending or engine.waiting or engine.running:
        while pending and pending[0].arrival_s <= engine.now:
            engine.waiting.append(pending.pop(0))
        if not engine.waiting and not engine.running:
            engine.now = pending[0].arrival_s
            continue
        engine.lose_patience()
        if not engine.waiting and not engine.running:
            continue
        before = len(engine.finished)
        engine.step()
        for _ in range(min(len(engine.finished) - before, len(unsent))):
            unsent[0].arrival_s = engine.now + resend_s
            pending.append(unsent.pop(0))
    return engine


def route(
    step_time: StepTime,
    limits: EngineLimits,
    requests: list[Request],
    replicas: int,
    *,
    slack: int | None = None,
    block_tokens: int = 1,
) -> list[Engine]:
    """Each request to the engine with the fewest unfinished ones when it arrives, in turn among equals.

    With `slack`, to the one whose cache knows most of it, if that has at most so many unfinished ones more.
    """
    engines = [Engine(step_time, limits) for _ in range(replicas)]
    caches = [Cache(limits.kv_capacity_tokens // block_tokens) for _ in range(replicas)]
    for turn, request in enumerate(requests):
        for engine in engines:
            engine.run_until(request.arrival_s)
        in_turn = [(turn + k) % replicas for k in range(replicas)]
        loads = [len(e.waiting) + len(e.running) for e in engines]
        chosen = min(in_turn, key=lambda k: loads[k])
        if slack is not None:
            near = [k for k in in_turn if loads[k] <= min(loads) + slack]
            chosen = max(near, key=lambda k: (caches[k].matched(request.blocks), -loads[k]))
        if request.blocks:
            request.cached = min(caches[chosen].matched(request.blocks) * block_tokens, request.prompt - 1)
            caches[chosen].remember(request.blocks)
        engine = engines[chosen]
        if not engine.waiting and not engine.running:
            engine.now = max(engine.now, request.arrival_s)
        engine.waiting.append(request)
    for engine in engines:
        engine.run_until(float("inf"))
    return engines
