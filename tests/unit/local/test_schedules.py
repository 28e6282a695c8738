"""Schedules on a laptop: what the template says is read, and time starts functions."""

import asyncio

import pytest

from infra.local.sam.function import Schedule
from infra.local.sam.template import Template, TemplateError, every_s
from infra.local.schedules import Ticking
from tests.unit.cloudformation import ROOT


@pytest.mark.parametrize(
    ("expression", "seconds"), [("rate(1 minute)", 60), ("rate(15 minutes)", 900), ("rate(1 day)", 86_400)]
)
def test_a_rate_is_an_interval(expression: str, seconds: float) -> None:
    assert every_s(expression) == seconds


@pytest.mark.parametrize("expression", ["cron(0 3 * * ? *)", "rate(0 minutes)", "rate(5 fortnights)", ""])
def test_anything_else_is_refused_by_name(expression: str) -> None:
    with pytest.raises(TemplateError, match="expected rate"):
        every_s(expression)


def test_the_templates_schedules_start_the_books_alone() -> None:
    functions = Template(ROOT / "template.yaml", region="eu-central-1").functions
    scheduled = {name: config.schedules for name, config in functions.items() if config.schedules}
    assert set(scheduled) == {"LedgerJobsFunction"}
    payloads = {schedule.payload: schedule.every_s for schedule in scheduled["LedgerJobsFunction"]}
    assert payloads['{"task": "compact"}'] == 900


def test_a_tick_delivers_its_payload_after_each_interval_until_it_is_closed() -> None:
    async def three() -> list[bytes]:
        delivered: list[bytes] = []
        enough = asyncio.Event()

        def deliver(payload: bytes) -> None:
            delivered.append(payload)
            if len(delivered) == 3:
                enough.set()

        ticking = Ticking(Schedule("often", 0.001, '{"task": "compact"}'), deliver)
        assert delivered == []
        await enough.wait()
        await ticking.close()
        count = len(delivered)
        await asyncio.sleep(0.01)
        assert len(delivered) == count
        return delivered

    assert set(asyncio.run(three())) == {b'{"task": "compact"}'}
