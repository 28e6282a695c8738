"""The phases: what is asked of every variant, in turn, in one run.

Processor time and stalls come from each process's own clocks, which other work on the machine does not change;
latencies do change with it, alike for all, since variants take turns.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.local.execution.code import ROOT
from tests.bench.tables import percentile
from tests.compare.callers import Answer, ask
from tests.compare.documents import FAST, SMALL, TTFT_MS, WRONG, Size, compose
from tests.compare.figures import Bought, Knee, Load, Row, load_of, mean_duration, sufficient_mb
from tests.compare.running import Missing, Running, RunningFunction, die_with_parent
from tests.compare.variants import MANAGED_MB, Surroundings, Variant

type Say = Callable[[str], None]
ONE_CALLER_ROUNDS = (0, 5, 1)  # the numbers of right, wrong and right documents
STAGGER_S = 0.12
ARRIVE_S = 1.0  # over which many callers come
COLD_ROUNDS = 3
RAMP_S, RAMP_FROM, RAMP_TO = 17.0, 1.0, 45.0  # seconds, and requests a second at its begin and end
WINDOW_S, LOOK_S = 2.0, 0.25


class Provider:
    """The upstream's process; `more` are its arguments."""

    def __init__(self, *more: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.compare.upstream", *more], cwd=ROOT, stdout=subprocess.PIPE,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}", "PATH": "/usr/bin:/bin"},
            preexec_fn=die_with_parent,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def base_url(self) -> str:
        """What variants call."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def stats(self) -> dict[str, Any]:
        """What it has sent so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /stats HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        writer.close()
        await writer.wait_closed()
        found: dict[str, Any] = json.loads(body)
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Measured:
    """What is known of one variant so far."""

    variant: Variant
    running: Running | None = None
    missing: str = ""
    loads: dict[tuple[str, int], Load] = field(default_factory=dict)
    one: list[Answer] = field(default_factory=list)
    durations: list[tuple[bool, float]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # of each right document, one caller
    peak_mb: float | None = None
    init_ms: list[float] = field(default_factory=list)
    tokens: dict[str, list[float]] = field(default_factory=dict)  # sent of each model's documents
    knee: Knee | None = None

    def lost(self) -> bool:
        """Whether it can no longer be measured: it never started, or has ended by itself since."""
        if self.running is not None and not self.running.alive and not self.missing:
            self.missing = f"crashed: {self.running.said()}"
        return bool(self.missing)


def _tokens(wrong: bool, size: Size = SMALL) -> float:
    return -(-len(compose(size, wrong=wrong)) // 4)


class Comparison:
    """All variants, started; `rows` at the end."""

    def __init__(self, variants: Sequence[Variant], here: Surroundings, provider: Provider, say: Say) -> None:
        self.measured = [Measured(variant) for variant in variants]
        self.provider = provider
        self.late_ms = 0.0
        self._here = here
        self._say = say
        self._chance = random.Random(1)

    def start(self) -> None:
        """One after the other, so that a start is a start alone; what does not start gets its reason."""
        for one in self.measured:
            try:
                one.running = one.variant.start(self._here)
                if one.running.start_ms:
                    one.init_ms.append(one.running.start_ms)
                self._say(f"started: {one.variant.name}")
            except (Missing, OSError) as error:
                one.missing = str(error)
                self._say(f"NOT MEASURED: {one.variant.name}: {error}")

    def close(self) -> None:
        """End all of them."""
        for one in self.measured:
            if one.running is not None:
                one.running.close()

    def standing(self) -> list[Measured]:
        """Those that run."""
        return [one for one in self.measured if not one.lost()]

    async def warm(self) -> None:
        """Everything imported and connected, in as many environments as will be asked."""

        async def several(one: Measured) -> None:
            assert one.running is not None
            count = one.variant.callers if one.variant.function and one.variant.callers else 2
            # All at once: an environment that is free would be used again.
            answers = await asyncio.gather(
                *(ask(one.running.port, one.variant.dialect, FAST, 0, 60) for _ in range(count))
            )
            if failed := [answer for answer in answers if not answer.as_expected]:
                one.missing = f"it does not answer as expected: {' '.join(failed[0].said.split())[:200]}"
                self._say(f"NOT MEASURED: {one.variant.name}: {one.missing}")

        for one in self.standing():
            await several(one)

    async def one_caller(self) -> None:
        """Each variant with one request at a time; all variants at once, since one request is hardly work."""
        for number in ONE_CALLER_ROUNDS:
            self._say(f"one caller, a {'wrong' if number == 5 else 'right'} document")
            standing = self.standing()
            self._chance.shuffle(standing)
            await asyncio.gather(
                *(self._one(one, number, index * STAGGER_S) for index, one in enumerate(standing))
            )

    async def _one(self, one: Measured, number: int, delay_s: float) -> None:
        running = one.running
        assert running is not None
        await asyncio.sleep(delay_s)
        if isinstance(running, RunningFunction):
            running.ask("reports")
        before = running.cpu_by_pid()
        answer = await ask(running.port, one.variant.dialect, SMALL, number, 60)
        if not one.running or not running.alive:
            one.one.append(answer)
            return
        after = running.cpu_by_pid()
        one.one.append(answer)
        if not answer.wrong:
            one.cpu_s.append(sum(after.values()) - sum(before.get(pid, 0.0) for pid in after))
        if answer.last_s is not None and answer.as_expected:
            one.durations.append((answer.wrong, self._billed_s(running) or answer.last_s))
        peaks = running.peaks_mb()
        whole = [max(group) if one.variant.worker else sum(group) for group in peaks if group]
        one.peak_mb = max(whole, default=None)

    @staticmethod
    def _billed_s(running: Running) -> float | None:
        """What Lambda's report says of the last invocation, its start apart."""
        if not isinstance(running, RunningFunction):
            return None
        reports = running.ask("reports")
        return reports[-1]["durationMs"] / 1e3 if reports else None

    async def many_callers(self, size: Size, callers: int) -> None:
        """Each variant alone, in an order drawn by lot."""
        order = self.standing()
        self._chance.shuffle(order)
        for number, one in enumerate(order, 1):
            asked = min(callers, one.variant.callers or callers)
            load = await self._many(one, size, asked)
            if not one.lost():
                one.loads[size.name, asked] = load
            self._say(f"{size.shown}, {asked} callers, {number}/{len(order)}: {one.variant.name}")

    async def _many(self, one: Measured, size: Size, callers: int) -> Load:
        running = one.running
        assert running is not None
        running.reset()
        sent, before = await self.provider.stats(), running.cpu_by_pid()
        begun_s = time.perf_counter()

        async def caller(number: int) -> Answer:
            await asyncio.sleep(number * ARRIVE_S / callers)
            return await ask(running.port, one.variant.dialect, size, number, 600)

        answers = await asyncio.gather(*(caller(number) for number in range(callers)))
        wall_s = time.perf_counter() - begun_s
        if not running.alive:
            return load_of(size.name, callers, answers, wall_s=wall_s, cpu_s=None, tokens=0, stall_ms=None, peak_mb=None)  # fmt: skip
        after, now = running.cpu_by_pid(), await self.provider.stats()
        cpu_s = sum(after.values()) - sum(before.get(pid, 0.0) for pid in after)
        tokens = 0.0
        for model in (size.name, size.name + WRONG):
            requests = now["requests"].get(model, 0) - sent["requests"].get(model, 0)
            bought = now["tokens"].get(model, 0.0) - sent["tokens"].get(model, 0.0)
            tokens += bought
            if requests:
                one.tokens.setdefault(model, []).append(bought / requests)
        self.late_ms = max(self.late_ms, now["late_ms"])
        return load_of(
            size.name, callers, answers, wall_s=wall_s, cpu_s=cpu_s, tokens=tokens, stall_ms=running.stall_ms(),
            peak_mb=sum(map(sum, running.peaks_mb())),
        )  # fmt: skip

    async def knees(self) -> None:
        """Ever more requests a second until first tokens come late."""
        for one in self.standing():
            if one.variant.knee:
                one.knee = await self._ramp(one)
                reached = "" if one.knee.reached else ", not reached"
                self._say(f"knee: {one.variant.name}: {one.knee.tokens_per_core:,.0f} tokens/s/core{reached}")

    async def _ramp(self, one: Measured) -> Knee:
        running = one.running
        assert running is not None
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        firsts: list[tuple[float, list[float]]] = []  # when each began, and its first token if that has come
        samples: list[tuple[float, float, float]] = []  # when, tokens sent, processor time
        asking: list[asyncio.Task[Answer]] = []
        limit_s = 2 * TTFT_MS / 1e3
        reached = False
        looked_s = -1.0
        while (now_s := loop.time() - begun_s) < RAMP_S and not reached:
            came: list[float] = []
            firsts.append((now_s, came))
            asking.append(
                asyncio.create_task(
                    ask(running.port, one.variant.dialect, SMALL, len(asking), 120, came.append)
                )
            )
            if now_s - looked_s >= LOOK_S:
                looked_s = now_s
                stats = await self.provider.stats()
                samples.append((now_s, sum(stats["tokens"].values()), sum(running.cpu_by_pid().values())))
                self.late_ms = max(self.late_ms, stats["late_ms"])
                waited = [
                    came[0] if came else now_s - at_s
                    for at_s, came in firsts
                    if now_s - WINDOW_S - limit_s < at_s < now_s - limit_s
                ]
                reached = len(waited) >= 3 and percentile(waited, 95 if len(waited) < 100 else 99) > limit_s
            await asyncio.sleep(1 / (RAMP_FROM * (RAMP_TO / RAMP_FROM) ** (now_s / RAMP_S)))
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        last = samples[-1]
        first = next(sample for sample in samples if sample[0] >= last[0] - WINDOW_S)
        seconds = max(last[0] - first[0], 1e-9)
        tokens_per_s = (last[1] - first[1]) / seconds
        cores = (last[2] - first[2]) / seconds
        await asyncio.sleep(1.0)  # what hung up is cleared away
        return Knee(tokens_per_s, tokens_per_s / cores if cores else 0.0, reached)

    async def cold_starts(self) -> None:
        """INIT of the functions: new environments, in turn."""
        for number in range(COLD_ROUNDS):
            self._say(f"cold starts, {number + 1}/{COLD_ROUNDS}")
            for one in self.standing():
                running = one.running
                if not isinstance(running, RunningFunction):
                    continue
                running.ask("drop")
                await ask(running.port, one.variant.dialect, FAST, 0, 60)
                one.init_ms += [init for init in running.ask("drop") if init is not None]

    def rows(self) -> list[Row]:
        """All that was found."""
        return [_row(one) for one in self.measured]


def _row(one: Measured) -> Row:
    variant = one.variant
    if one.lost():
        return Row(variant.name, variant.group, one.missing)
    loads = dict(one.loads)
    right_tokens = _tokens(False)
    if one.one:
        cpu_s = sum(one.cpu_s) if one.cpu_s else None
        loads[SMALL.name, 1] = load_of(
            SMALL.name, 1, one.one, wall_s=sum(answer.last_s or 0.0 for answer in one.one) or 1.0, cpu_s=cpu_s,
            tokens=right_tokens * len(one.cpu_s), stall_ms=None, peak_mb=one.peak_mb,
        )  # fmt: skip
    bought = [one.tokens.get(model) for model in (SMALL.name, SMALL.name + WRONG)]
    duration = mean_duration(one.durations)
    cores = sum(one.cpu_s) / len(one.cpu_s) / duration.right_s if one.cpu_s and duration else None
    return Row(
        variant.name,
        variant.group,
        loads=loads,
        # A function's environments are started anew and in turn; a server has started once.
        init_ms=statistics.median(one.init_ms) if one.init_ms else None,
        peak_mb=one.peak_mb,
        sufficient_mb=_memory_mb(one, cores),
        duration=duration,
        bought=Bought(bought[0][-1], bought[1][-1], _tokens(True)) if bought[0] and bought[1] else None,
        knee=one.knee,
        many_in_one=variant.many_in_one,
    )


def _memory_mb(one: Measured, cores: float | None) -> int | None:
    if one.peak_mb is None or cores is None:
        return None
    if one.variant.many_in_one > 1:
        return MANAGED_MB
    return sufficient_mb(one.peak_mb, cores)


@asynccontextmanager
async def comparison(
    variants: Sequence[Variant], here: Surroundings, provider: Provider, say: Say
) -> AsyncIterator[Comparison]:
    """Start all, and end all whatever happens."""
    compared = Comparison(variants, here, provider, say)
    try:
        compared.start()
        await compared.warm()
        yield compared
    finally:
        compared.close()
