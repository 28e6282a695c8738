"""The knee: ever more requests a second, until the first token of one in twenty comes twice as late as the provider's.

An open loop: callers come by the clock, whoever still waits. Tokens and processor time are those of the last seconds
before it.
"""

import asyncio

from tests.bench.tables import percentile
from tests.compare.callers import Answer, Dialect, ask
from tests.compare.documents import SMALL, TTFT_MS
from tests.compare.figures import Knee
from tests.compare.provider import Provider
from tests.compare.running import Running

RAMP_S, RAMP_FROM, RAMP_TO = 15.0, 2.0, 118.0  # seconds, and requests a second at its begin and end
WINDOW_S, LOOK_S = 2.0, 0.25


async def knee_of(running: Running, dialect: Dialect, provider: Provider) -> tuple[Knee, float]:
    """Ramp up; where the knee is, and how late the provider was."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    firsts: list[tuple[float, list[float]]] = []  # when each began, and its first token if that has come
    samples: list[tuple[float, float, float]] = []  # when, tokens sent, processor time
    asking: list[asyncio.Task[Answer]] = []
    limit_s = 2 * TTFT_MS / 1e3
    reached, late_ms = False, 0.0
    looked_s = -1.0
    while (now_s := loop.time() - begun_s) < RAMP_S and not reached:
        came: list[float] = []
        firsts.append((now_s, came))
        asking.append(asyncio.create_task(ask(running.port, dialect, SMALL, len(asking), 120, came.append)))
        if now_s - looked_s >= LOOK_S:
            looked_s = now_s
            stats = await provider.stats()
            samples.append((now_s, sum(stats["tokens"].values()), sum(running.cpu_by_pid().values())))
            late_ms = max(late_ms, stats["late_ms"])
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
    return Knee(tokens_per_s, tokens_per_s / cores if cores else 0.0, reached), late_ms
