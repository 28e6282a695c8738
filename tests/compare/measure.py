"""The phases: what is asked of every variant, in turn, in one run.

Processor time and stalls come from each process's own clocks, which other work on the machine does not change;
latencies do change with it, alike for all, since variants take turns.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from tests.compare.callers import Answer, ask
from tests.compare.documents import BURST, FAST, SMALL, WRONG, Size
from tests.compare.figures import Load, Row, load_of
from tests.compare.knee import knee_of
from tests.compare.measured import Measured, row_of
from tests.compare.provider import Provider
from tests.compare.running import Missing, Running, RunningFunction
from tests.compare.starting import Surroundings
from tests.compare.variants import CAREFUL, CONTAINER, Variant

type Say = Callable[[str], None]
ONE_CALLER_ROUNDS = (0, 5, 1)  # the numbers of right, wrong and right documents
STAGGER_S = 0.12
ARRIVE_S = 1.0  # over which many callers come
COLD_ROUNDS = 3
BURST_ROUNDS = 4
# Who has no answer by then has hung: ten times what the slowest takes, and of large documents as long as that is.
LIMIT_S, LARGE_LIMIT_S = 120.0, 600.0


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

    @contextmanager
    def _row_of(self, one: Measured) -> Iterator[None]:
        """What fails of one variant is what its row says; the others go on."""
        try:
            yield
        except (Missing, OSError, ValueError) as error:
            if not one.lost():
                one.missing = f"failed: {str(error) or type(error).__name__}"
            self._say(f"NOT MEASURED: {one.variant.name}: {one.missing}")

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
            with self._row_of(one):
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
        await asyncio.sleep(delay_s)
        with self._row_of(one):
            await self._one_answer(one, number)

    async def _one_answer(self, one: Measured, number: int) -> None:
        running = one.running
        assert running is not None
        if isinstance(running, RunningFunction):
            running.ask("reports")
        running.stall_ms()
        before = running.cpu_by_pid()
        answer = await ask(running.port, one.variant.dialect, SMALL, number, LIMIT_S)
        if not one.running or not running.alive:
            one.one.append(answer)
            return
        after = running.cpu_by_pid()
        one.one.append(answer)
        if (stall_ms := running.stall_ms()) is not None:
            one.stall_ms = max(one.stall_ms or 0.0, stall_ms)
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
            if (size.name, asked) in one.loads:
                continue  # of a load with more callers than it is given
            with self._row_of(one):
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
            limit_s = LIMIT_S if size is SMALL or size is FAST else LARGE_LIMIT_S
            return await ask(running.port, one.variant.dialect, size, number, limit_s)

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
            if not one.variant.knee:
                continue
            assert one.running is not None
            with self._row_of(one):
                one.knee, late_ms = await knee_of(one.running, one.variant.dialect, self.provider)
                self.late_ms = max(self.late_ms, late_ms)
                reached = "" if one.knee.reached else ", not reached"
                self._say(f"knee: {one.variant.name}: {one.knee.tokens_per_core:,.0f} tokens/s/core{reached}")

    async def bursts(self) -> None:
        """Documents that come as fast as they are read, by ours and the careful one in turn: a token's processor time."""
        for number in range(BURST_ROUNDS):
            self._say(f"as fast as it is read, {number + 1}/{BURST_ROUNDS}")
            for one in self.standing():
                running = one.running
                if one.variant.name not in (CAREFUL, CONTAINER) or running is None:
                    continue
                with self._row_of(one):
                    sent, before = await self.provider.stats(), running.cpu_by_pid()
                    answer = await ask(running.port, one.variant.dialect, BURST, 0, 60)
                    after, now = running.cpu_by_pid(), await self.provider.stats()
                    tokens = now["tokens"].get(BURST.name, 0.0) - sent["tokens"].get(BURST.name, 0.0)
                    if answer.as_expected and tokens:
                        cpu_s = sum(after.values()) - sum(before.get(pid, 0.0) for pid in after)
                        one.burst_us.append(cpu_s / tokens * 1e6)

    async def cold_starts(self) -> None:
        """INIT of the functions: new environments, in turn."""
        for number in range(COLD_ROUNDS):
            self._say(f"cold starts, {number + 1}/{COLD_ROUNDS}")
            for one in self.standing():
                running = one.running
                if not isinstance(running, RunningFunction):
                    continue
                with self._row_of(one):
                    running.ask("drop")
                    await ask(running.port, one.variant.dialect, FAST, 0, 60)
                    one.init_ms += [init for init in running.ask("drop") if init is not None]

    def rows(self) -> list[Row]:
        """All that was found."""
        return [row_of(one) for one in self.measured]


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
