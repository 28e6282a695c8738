"""What if, held against a calculation by hand: forty requests, plain fractions, and prices typed from the price lists.

The calculation shares nothing with the product. It goes request by request; the product takes those together that are
billed alike, so both agree up to each request's rounding at 1e-15 dollars.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from functions.finance import app as finance
from tests import log_lines as lines
from tests.buckets import prepare_bucket
from tests.made_ledger import row_as_json, write_days
from weir.ledger.ingest import ingest
from weir.ledger.join import distinct, join, row_of
from weir.ledger.landing import read_landing
from weir.ledger.store import Store
from weir.pricing.charge_lines import ChargeLine
from weir.pricing.price_book import PriceBook
from weir.reports import queries
from weir.reports.charge_lines import as_csv, of_request
from weir.reports.engine import DuckEngine
from weir.reports.queries import Filters
from weir.reports.supposition import Supposed
from weir.reports.token_scenarios import Tokens, cached, input_sizes, other_model
from weir.reports.unpriced import record

# USD, us-east-1 on 2026-11-22: a GB-second, as it is and where environments are kept warm.
GB_S = {"arm64": Fraction("0.0000133334"), "x86_64": Fraction("0.0000166667")}
WARM_GB_S = {"arm64": Fraction("0.0000077778"), "x86_64": Fraction("0.0000097222")}
KEPT_GB_S = {"arm64": Fraction("0.0000033334"), "x86_64": Fraction("0.0000041667")}
CACHE_GB_S, RESTORE_GB = Fraction("0.0000015046"), Fraction("0.0001397998")
# Logs per GB, there and in Frankfurt; duration on Graviton and requests cost the same in both.
LOGS_GB, LOGS_GB_FRANKFURT = Fraction("0.5"), Fraction("0.63")
# An instance of 16 GB as the reader gives it, USD an hour, and AWS's fee on it.
INSTANCE_HOUR, INSTANCE_GB, INSTANCE_FEE = Fraction("0.4032"), 16, Fraction("0.15")
# A million tokens: fresh input, input read from a cache, output.
TOKENS = {
    "gpt-4o-mini-2024-07-18": ("0.15", "0.075", "0.6"),
    "claude-haiku-4-5": ("1", "0.1", "5"),
    "gpt-4.1": ("2", "0.5", "8"),
}
NOBODYS, TO = "a-model-nobody-priced", "gpt-4.1"
WITHOUT_WAIT, WITHOUT_REPORT, WITHOUT_PRICE, WITHOUT_PEAK = 11, 17, 13, range(30, 34)
HOURS = 24
EXACT = Fraction(1, 10**12)


@dataclass(frozen=True)
class Asked:
    """One request, as somebody would note it on paper."""

    number: int
    function: str
    architecture: str
    memory_mb: int
    peak_mb: int | None
    init_ms: float
    duration_ms: float
    wait_ms: float | None
    stream_ms: float
    model: str
    input: int
    cached: int
    output: int
    attempts: int
    saved: int

    @property
    def billed_ms(self) -> int | None:
        return None if self.number == WITHOUT_REPORT else ceil(self.duration_ms + self.init_ms)

    @property
    def gb(self) -> Fraction:
        return Fraction(self.memory_mb, 1024)

    def ms(self, count: int, gb_s: dict[str, Fraction] = GB_S) -> Fraction:
        """What so many milliseconds cost in its memory."""
        return Fraction(count, 1000) * self.gb * gb_s[self.architecture]

    def tokens(self, model: str, cached: int | None = None) -> Fraction:
        """What the tokens of one attempt cost, with another model or another part read from a cache."""
        fresh_price, cached_price, output_price = map(Fraction, TOKENS[model])
        read = self.cached if cached is None else cached
        bought = (self.input - read) * fresh_price + read * cached_price + self.output * output_price
        return bought / 10**6


def asked(number: int) -> Asked:
    chat, model = number % 5 == 4, [*TOKENS][number % 3]
    wait, stream = 180.5 + 37 * (number % 7), 900.25 + 410 * (number % 4)
    without_peak = number in WITHOUT_PEAK
    return Asked(
        number,
        "before-peaks" if without_peak else "chat" if chat else "generate",
        "x86_64" if number % 4 == 0 else "arm64",
        1024 if chat else 512,
        None if without_peak else 300 if chat else 90 + number % 6,
        612.5 if number % 10 == 3 else 0.0,
        wait + stream + 41.125,
        None if number == WITHOUT_WAIT else wait,
        stream,
        NOBODYS if number == WITHOUT_PRICE else model,
        700 + 31 * number,
        (700 + 31 * number) // 2 if number % 7 == 1 else 0,
        250 + 17 * number,
        2 if number % 8 == 5 and number != WITHOUT_PRICE else 1,
        300 if number % 9 == 2 else 0,
    )


NOTHING = {**lines.usage(0, 0), "source": "none"}
ASKED = [asked(number) for number in range(40)]
BILLED = [one for one in ASKED if one.billed_ms is not None]


def written(one: Asked, region: str = "us-east-1") -> list[dict[str, Any]]:
    """The log lines of a request."""
    request_id, usage = (
        f"r{one.number:02d}",
        lines.usage(one.input, one.output, cached_input_tokens=one.cached),
    )
    where = {
        "function": one.function,
        "architecture": one.architecture,
        "memory_mb": one.memory_mb,
        "model": one.model,
        "region": region,
    }
    timing = {"wait_ms": one.wait_ms, "stream_ms": one.stream_ms, "validate_ms": 12.0, "ttft_ms": one.wait_ms}
    attempt = {"attempt": 1, "model": one.model, "model_returned": one.model, "usage": usage}
    found = [
        lines.platform("start", request_id, version="1"),
        lines.fact("request.started", request_id, **where),
        lines.completed(
            request_id,
            model_returned=one.model,
            attempts=[attempt] * one.attempts,
            timing=timing,
            saved={"output_tokens": one.saved, "method": "estimated"} if one.saved else None,
            **where,
        ),
    ]
    if one.billed_ms is not None:
        metrics: dict[str, Any] = {"durationMs": one.duration_ms, "memorySizeMB": one.memory_mb}
        metrics |= {"initDurationMs": one.init_ms} if one.init_ms else {}
        metrics["maxMemoryUsedMB"] = one.peak_mb
        found.append(lines.report(request_id, one.billed_ms, **metrics))
    return found


class NextDay(finance.Services):
    """The services at the end of the day."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(moto_url: str) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        bucket = prepare_bucket(moto_url, patch)
        events = [
            lines.log_event(line, f"e{one.number:02d}{part}", lines.NOON_MS + 1000 * one.number + part)
            for one in ASKED
            for part, line in enumerate(written(one))
        ]
        # The day before: an answer given again, which bought nothing, streamed nothing and stopped nothing.
        again = lines.request(
            "again", attempts=[], usage=NOTHING, saved={"output_tokens": 300}, answered_from="cache"
        )
        at_ms = lines.NOON_MS - 86_400_000
        events += [lines.log_event(line, f"again{part}", at_ms + part) for part, line in enumerate(again)]
        ingest(lines.batch(events), Store(bucket), "us-east-1")
        with TestClient(finance.create_app(NextDay())) as made:
            yield made


def get(client: TestClient, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(path, params={"from": "2026-11-22", "to": "2026-11-23", **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def scenarios(client: TestClient) -> dict[str, dict[str, Any]]:
    supposed = {
        "memory_mb": 256,
        "environments": 2,
        "cache_percent": 40,
        "to_model": TO,
        "to_region": "eu-central-1",
    }
    found = get(client, "/api/whatif", **supposed)
    assert found["requests"] == len(ASKED)
    return {scenario["name"]: scenario for scenario in found["scenarios"]}


def sooner() -> Fraction:
    return sum((-one.ms(min(200, floor(one.wait_ms))) for one in BILLED if one.wait_ms), Fraction(0))


def memory() -> Fraction:
    # 256 MB are a quarter more than 95 MB, and less than a quarter more than chat's 300.
    fitting = [one for one in BILLED if one.function == "generate"]
    return sum((one.ms(one.billed_ms or 0) * (Fraction(256, 512) - 1) for one in fitting), Fraction(0))


def architecture() -> Fraction:
    # Most of the time is Graviton's.
    moved = [one for one in BILLED if one.architecture == "arm64"]
    return sum(
        (one.ms(one.billed_ms or 0) * (GB_S["x86_64"] / GB_S["arm64"] - 1) for one in moved), Fraction(0)
    )


def cold_ms(one: Asked) -> int:
    return (one.billed_ms or 0) - ceil(one.duration_ms) if one.init_ms else 0


def snap_start() -> Fraction:
    started = [one for one in BILLED if one.init_ms]
    restored = sum((one.gb * RESTORE_GB - one.ms(cold_ms(one)) for one in started), Fraction(0))
    return restored + CACHE_GB_S * HOURS * 3600 * (Fraction(512, 1024) * 2 + Fraction(1024, 1024))


def provisioned() -> Fraction:
    warm = sum((one.ms((one.billed_ms or 0) - cold_ms(one), WARM_GB_S) - one.ms(one.billed_ms or 0) for one in BILLED), Fraction(0))  # fmt: skip
    # The functions' first requests by day, memory and architecture say on which the environments are kept.
    kept = sum((KEPT_GB_S["arm64"] * Fraction(size, 1024) for size in (512, 512, 1024)), Fraction(0))
    return warm + kept * HOURS * 3600 * 2


def early_stop_off() -> Fraction:
    total = Fraction(0)
    for one in ASKED:
        if one.saved:
            total += one.saved * Fraction(TOKENS[one.model][2]) / 10**6
            total += one.ms(ceil(one.saved * one.stream_ms / (one.output * one.attempts)))
    return total


def retries_off() -> Fraction:
    total = Fraction(0)
    for one in ASKED:
        if one.attempts == 2:
            half = floor(((one.wait_ms or 0) + one.stream_ms) / 2)
            total -= one.tokens(one.model) + (one.ms(half) if one.billed_ms else 0)
    return total


def cache() -> Fraction:
    total = Fraction(0)
    for model in TOKENS:
        fresh, read, _ = map(Fraction, TOKENS[model])
        of_model = [one for one in ASKED if one.model == model and not one.cached]
        total += (
            floor(Fraction(40, 100) * sum(one.input * one.attempts for one in of_model))
            * (read - fresh)
            / 10**6
        )
    return total


def model() -> Fraction:
    priced = [one for one in ASKED if one.model not in (TO, NOBODYS)]
    return sum((one.attempts * (one.tokens(TO) - one.tokens(one.model)) for one in priced), Fraction(0))


def managed_instances(many: int = 10, fee: Fraction = INSTANCE_FEE) -> Fraction:
    gb_s = INSTANCE_HOUR / 3600 / INSTANCE_GB * (1 + fee)
    shares = (Fraction(ceil(one.duration_ms), 1000) * one.gb * gb_s / many for one in BILLED)
    return sum(shares, Fraction(0)) - sum((one.ms(one.billed_ms or 0) for one in BILLED), Fraction(0))


BY_HAND: dict[str, Callable[[], Fraction]] = {
    "ttft": sooner,
    "memory": memory,
    "architecture": architecture,
    "snapstart": snap_start,
    "provisioned": provisioned,
    "early_stop_off": early_stop_off,
    "retries_off": retries_off,
    "cache": cache,
    "model": model,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_scenario_is_what_forty_requests_come_to_by_hand(
    name: str, scenarios: dict[str, dict[str, Any]]
) -> None:
    found = scenarios[name]
    assert found["difference"] is not None, found
    assert abs(Fraction(found["difference"]) - BY_HAND[name]()) < EXACT, found
    before = Fraction(found["after"]) - Fraction(found["difference"])
    assert found["percent"] == pytest.approx(float(100 * BY_HAND[name]() / before), abs=1e-4)
    assert found["assumptions"]


def test_what_is_not_known_of_some_requests_is_said_with_the_reason(
    scenarios: dict[str, dict[str, Any]],
) -> None:
    said = {
        name: {unknown["reason"]: unknown["requests"] for unknown in found["unknown"]}
        for name, found in scenarios.items()
    }
    assert said["ttft"] == {"waiting_time_unknown": 1, "billed_duration_unknown": 1}
    assert said["memory"] == {"peak_memory_unknown": len(WITHOUT_PEAK), "billed_duration_unknown": 1}
    assert said["model"] == said["cache"] == {f"no_price:tokens:{NOBODYS}": 1}
    assert {found["status"] for name, found in scenarios.items() if said[name]} == {"partial", "unknown"}


def test_an_answer_given_again_was_not_stopped_early_and_asked_nobody_twice(client: TestClient) -> None:
    found = (
        client.get("/api/whatif", params={"from": "2026-11-21", "to": "2026-11-22"}).raise_for_status().json()
    )
    scenarios = {one["name"]: one for one in found["scenarios"]}
    assert found["requests"] == 1
    for name in ("early_stop_off", "retries_off", "cache"):
        assert (scenarios[name]["status"], scenarios[name]["difference"]) == ("known", "0"), scenarios[name]


def test_what_has_no_price_is_unknown_and_never_nothing(scenarios: dict[str, dict[str, Any]]) -> None:
    found = scenarios["managed_instances"]
    assert (found["status"], found["difference"], found["percent"]) == ("unknown", None, None)
    assert "no_price:managed_instances_memory:us-east-1/arm64" in str(found["unknown"])
    assert "instance_usd_hour" in found["assumptions"][-1]  # how to make it known


@pytest.mark.parametrize(("many", "fee"), [(10, None), (3, "7.5")])
def test_an_instance_that_the_reader_prices_costs_each_request_its_share(
    client: TestClient, many: int, fee: str | None
) -> None:
    """Its memory by the request's time, AWS's fee on top: the price list's 15 %, or another."""
    given = {"instance_usd_hour": "0.4032", "instance_memory_gb": "16", "concurrency": many}
    found = get(client, "/api/whatif", **given, **({"instance_fee_percent": fee} if fee else {}))
    [scenario] = [one for one in found["scenarios"] if one["name"] == "managed_instances"]
    by_hand = managed_instances(many, INSTANCE_FEE if fee is None else Fraction(fee) / 100)
    assert abs(Fraction(scenario["difference"]) - by_hand) < EXACT
    assert scenario["parameters"]["instance_usd_hour"] == "0.4032"
    assert scenario["unknown"] == [{"reason": "billed_duration_unknown", "requests": 1}]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"instance_usd_hour": "0.4"}, "instance_memory_gb"),
        ({"instance_memory_gb": "16"}, "instance_usd_hour"),
        ({"instance_usd_hour": "-1", "instance_memory_gb": "16"}, "instance_usd_hour"),
        ({"instance_usd_hour": "NaN", "instance_memory_gb": "16"}, "instance_usd_hour"),
        ({"instance_usd_hour": "1", "instance_memory_gb": "0"}, "instance_memory_gb"),
    ],
)
def test_half_an_instance_or_one_that_cannot_be_is_refused_by_name(
    client: TestClient, given: dict[str, str], field: str
) -> None:
    answer = client.get("/api/whatif", params={"from": "2026-11-22", "to": "2026-11-23", **given})
    assert answer.status_code == 422
    assert [error["pointer"].rpartition("/")[2] for error in answer.json()["errors"]] == [field]


def test_a_size_below_the_peak_is_not_offered_and_no_peak_is_unknown(client: TestClient) -> None:
    for function, size, status in (("chat", 256, "not_offered"), ("chat", 512, "partial"), ("before-peaks", 256, "unknown")):  # fmt: skip
        found = get(client, "/api/whatif", memory_mb=size, function=function)
        [scenario] = [one for one in found["scenarios"] if one["name"] == "memory"]
        expected = "known" if status == "partial" else status
        assert (scenario["status"], scenario["difference"] is None) == (expected, status != "partial"), (
            scenario
        )
    [function_memory] = get(client, "/api/whatif", function="chat")["memory"]
    assert (function_memory["peak_mb"], function_memory["memory_mb"]) == (300, 1024)
    assert next(size["memory_mb"] for size in function_memory["sizes"] if size["fits"]) == 512


def test_a_region_costs_what_its_prices_say_and_names_what_it_has_no_price_for(client: TestClient) -> None:
    """Logs cost 0.63 in Frankfurt, duration on either processor and requests the same."""
    found = get(client, "/api/whatif", to_region="eu-central-1")
    [scenario] = [one for one in found["scenarios"] if one["name"] == "region"]
    logs = Fraction(get(client, "/api/report")["totals"]["components"]["logs"])
    assert abs(Fraction(scenario["difference"]) - logs * (LOGS_GB_FRANKFURT / LOGS_GB - 1)) < EXACT
    nowhere = get(client, "/api/whatif", to_region="xx-nowhere-1")["scenarios"]
    [scenario] = [one for one in nowhere if one["name"] == "region"]
    assert (scenario["status"], scenario["difference"]) == ("unknown", None)


def test_what_latency_costs_is_each_requests_share_of_its_charge_and_adds_up(client: TestClient) -> None:
    found = get(client, "/api/latency")
    total = found["total"]
    waited = sum((one.ms(1) * Fraction(str(one.wait_ms)) for one in BILLED if one.wait_ms), Fraction(0))
    phases = {phase["phase"]: phase for phase in total["phases"]}
    assert abs(Fraction(phases["waiting"]["cost"]) - waited) < EXACT
    assert phases["waiting"]["ms"] == pytest.approx(sum(one.wait_ms for one in BILLED if one.wait_ms))
    per_ms = Fraction(phases["waiting"]["cost"]) * 1000 / Fraction(str(1000 * phases["waiting"]["ms"]))
    assert abs(Fraction(phases["waiting"]["cost_per_ms"]) - per_ms) < Fraction(1, 10**15)
    tokens = sum((one.attempts * one.tokens(one.model) for one in ASKED if one.model != NOBODYS), Fraction(0))
    assert abs(Fraction(total["tokens"]) - tokens) < EXACT
    for by in ("day", "model", "tenant", "function"):
        groups = found[f"by_{by}"]
        assert sum(group["requests"] for group in groups) == len(ASKED)
        for phase in phases:
            parts = [
                Decimal(each["cost"])
                for group in groups
                for each in group["phases"]
                if each["phase"] == phase
            ]
            assert sum(parts) == Decimal(phases[phase]["cost"]), (by, phase)


@pytest.mark.parametrize(
    "span", [{}, {"from": "2026-11-22T12:00:07Z", "to": "2026-11-22T12:00:23Z", "tz": "Europe/Berlin"}]
)
def test_every_bar_leads_to_the_requests_that_it_sums_the_dearest_first(
    client: TestClient, span: dict[str, str]
) -> None:
    found = get(client, "/api/latency", **span)
    groups = [
        found["total"],
        *(group for by in ("day", "model", "tenant", "function") for group in found[f"by_{by}"]),
    ]
    assert len(groups) > 7
    for group in groups:
        for bar in (None, group["phases"][1]) if group is not found["total"] else (None, *group["phases"]):
            query = (bar or group)["requests_query"]
            rows = client.get(f"/api/requests?{query}&limit=500").raise_for_status().json()["rows"]
            assert len(rows) == group["requests"], query
            if bar is None:
                assert sum(Decimal(row["cost"]["total"]) for row in rows) == Decimal(group["total"]), query
                continue
            costs = [row["cost"]["phases"][bar["phase"]] for row in rows]
            known = [Decimal(cost) for cost in costs if cost is not None]
            assert sum(known) == Decimal(bar["cost"] or 0), query
            assert known == sorted(known, reverse=True) and costs[len(known) :] == [None] * (
                len(costs) - len(known)
            )


def test_a_group_without_a_request_leads_nowhere(client: TestClient) -> None:
    nothing = client.get("/api/latency", params={"from": "2026-10-01", "to": "2026-10-02"}).json()
    assert nothing["total"]["requests_query"] is None


def test_a_served_model_is_the_one_that_answered(client: TestClient) -> None:
    """A name that was asked for and answered by a longer one finds nothing as the served model, and all as the model."""
    lists = {
        name: client.get(
            "/api/requests", params={"from": "2026-11-21", "to": "2026-11-22", name: "gpt-4o-mini"}
        ).json()
        for name in ("model", "served_model")
    }
    assert (len(lists["model"]["rows"]), lists["served_model"]["rows"]) == (1, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"ttft_ms": 60_001}, "ttft_ms"),
        ({"memory_mb": 64}, "memory_mb"),
        ({"cache_percent": 101}, "cache_percent"),
        ({"cache_percent": "nan"}, "cache_percent"),
        ({"concurrency": 0}, "concurrency"),
        ({"from_model": "gpt-4.1"}, "to_model"),
        ({"architecture": "riscv"}, "architecture"),
        ({"memory": 256}, "memory"),
    ],
)
def test_what_cannot_be_supposed_is_refused_with_its_name(
    client: TestClient, query: dict[str, Any], field: str
) -> None:
    answer = client.get("/api/whatif", params={"from": "2026-11-22", **query})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")


def test_a_range_without_a_request_would_have_cost_nothing_else(client: TestClient) -> None:
    answer = client.get("/api/whatif", params={"from": "2026-10-01", "to": "2026-10-02", "to_model": TO})
    scenarios = answer.raise_for_status().json()["scenarios"]
    assert {scenario["difference"] for scenario in scenarios} == {"0"}
    latency = client.get("/api/latency", params={"from": "2026-10-01", "to": "2026-10-02"}).json()
    assert (latency["total"]["requests"], latency["by_day"]) == (0, [])


def test_two_periods_are_compared_by_everything_that_requests_have_and_add_up(client: TestClient) -> None:
    # Noon's seconds: the first twenty requests, and the others.
    edges = {
        "from": "2026-11-22T12:00:20Z",
        "to": "2026-11-22T13:00:00Z",
        "before_from": "2026-11-22T12:00:00Z",
    }
    total = {}
    for span in (
        {"from": edges["from"], "to": edges["to"]},
        {"from": edges["before_from"], "to": edges["from"]},
    ):
        found = client.get("/api/report", params=span).raise_for_status().json()["totals"]
        total[span["from"]] = found["total"], found["requests"]
    for by in ("tenant", "model", "feature", "function", "outcome", "tag:team"):
        found = client.get("/api/compare", params={**edges, "by": by}).raise_for_status().json()
        assert (found["after"]["total"], found["after"]["requests"]) == total[edges["from"]]
        assert (found["before"]["total"], found["before"]["requests"]) == total[edges["before_from"]]
        change = Decimal(total[edges["from"]][0]) - Decimal(total[edges["before_from"]][0])
        assert Decimal(found["change"]) == sum(map(Decimal, found["parts"].values())) == change
        assert sum(Decimal(group["change"]) for group in found["groups"]) == change
    answer = client.get("/api/compare", params={**edges, "by": "component"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/by")


def test_the_period_before_a_month_is_a_month_and_before_days_as_many(client: TestClient) -> None:
    for zone, span, before in (
        ("UTC", ("2026-03-01", "2026-04-01"), "2026-02-01T00:00:00+00:00"),
        ("Europe/Berlin", ("2026-10-01", "2026-11-01"), "2026-09-01T00:00:00+02:00"),
        ("UTC", ("2026-11-20", "2026-11-23"), "2026-11-17T00:00:00+00:00"),
    ):
        query = {"from": span[0], "to": span[1], "tz": zone}
        found = client.get("/api/compare", params=query).raise_for_status().json()
        assert (found["before_range"]["from"], found["before_range"]["to"]) == (
            before,
            found["range"]["from"],
        )


# ---- Explained -----------------------------------------------------------------------------------------------------


def test_a_requests_charge_is_its_lines_by_attempt_with_who_says_so(client: TestClient) -> None:
    one = next(one for one in ASKED if one.attempts == 2 and one.model == "claude-haiku-4-5")
    found = client.get(f"/api/requests/r{one.number:02d}/charges").raise_for_status().json()
    assert (found["differs"], found["booked_with"]) == ([], found["explained_with"])
    assert sum(Decimal(line["amount"]) for line in found["lines"]) == Decimal(found["total"])
    for line in found["lines"]:
        product = Fraction(line["quantity"]) * Fraction(line["unit_price"])
        assert abs(product - Fraction(line["amount"])) <= Fraction(1, 2 * 10**15)
        assert line["source"] and line["unit"] and line["requests"] == 1
    output = [line for line in found["lines"] if line["component"] == "output_tokens"]
    assert [line["attempt"] for line in output] == [1, 2]
    assert {(Fraction(line["quantity"]) * 10**6, line["unit_price"], line["model"]) for line in output} == {
        (one.output, "5", one.model)
    }
    [duration] = [line for line in found["lines"] if line["component"] == "lambda_duration"]
    assert Fraction(duration["quantity"]) == Fraction(one.billed_ms or 0, 1000) * one.gb
    assert Fraction(duration["unit_price"]) == GB_S[one.architecture]
    assert (duration["region"], duration["architecture"], duration["valid_from"]) == (
        "us-east-1",
        one.architecture,
        "2023-05-01",
    )


def test_a_sums_lines_are_quantities_by_prices_and_come_to_what_is_booked(client: TestClient) -> None:
    found = get(client, "/api/charges")
    booked = get(client, "/api/report")["totals"]["components"]
    for component in found["components"]:
        assert component["booked"] == booked[component["component"]]
        # Rows are rounded one by one.
        assert abs(Fraction(component["booked"]) - Fraction(component["explained"])) < EXACT, component
    gb_s = {line["architecture"]: line for line in found["lines"] if line["component"] == "lambda_duration"}
    for architecture, line in gb_s.items():
        of = [one for one in BILLED if one.architecture == architecture]
        assert Fraction(line["quantity"]) == sum(Fraction(one.billed_ms or 0, 1000) * one.gb for one in of)
        assert line["requests"] >= len(of)
    assert {line["source"] for line in found["lines"] if line["model"]} != {None}


def test_both_are_csv_that_no_spreadsheet_runs(client: TestClient) -> None:
    for path in ("/api/charges", "/api/requests/r01/charges"):
        query = {"from": "2026-11-22", "to": "2026-11-23"}
        lines = client.get(path, params=query).json()["lines"]
        answer = client.get(path, params={**query, "format": "csv"}).raise_for_status()
        assert answer.headers["content-type"].startswith("text/csv")
        assert ".csv" in answer.headers["content-disposition"]
        rows = list(csv.DictReader(answer.text.splitlines()))
        assert [row["amount"] for row in rows] == [line["amount"] or "" for line in lines]
    assert as_csv([{"model": "=1+1", "amount": "-0.5"}]).splitlines()[1].count("'=1+1") == 1
    assert ",-0.5," in as_csv([{"amount": "-0.5"}])


def test_lines_that_have_a_price_today_and_had_none_when_they_were_booked_are_said_to_differ() -> None:
    (batch,) = read_landing(
        lines.batch(lines.log_events(lines.request("r", model=NOBODYS, model_returned=NOBODYS)))
    )
    records = distinct(batch.records)
    [row] = join(records, PriceBook.load())
    priced = PriceBook.load(record(NOBODYS, {"input": "2", "output": "6", "cached_input": None}))
    listed: list[ChargeLine] = []
    found = of_request(row_of("r", records, {}, priced, listed), listed, row_as_json(row))
    assert found["differs"] == [
        {"component": "input_tokens", "booked": None, "explained": "0.002"},
        {"component": "output_tokens", "booked": None, "explained": "0.003"},
    ]
    other = sum(Fraction(one["explained"]) - Fraction(one["booked"] or 0) for one in found["differs"])
    assert sum(Fraction(line["amount"]) for line in found["lines"]) == Fraction(found["total"]) + other


def test_a_request_that_nobody_made_has_no_charges(client: TestClient) -> None:
    assert client.get("/api/requests/nobody/charges").status_code == 404


# ---- Not priced ----------------------------------------------------------------------------------------------------


def test_what_is_not_priced_is_a_queue_with_tokens_and_what_is_at_stake(client: TestClient) -> None:
    items = {item["reason"]: item for item in get(client, "/api/unpriced")["items"]}
    one = ASKED[WITHOUT_PRICE]
    item = items[f"no_price:tokens:{NOBODYS}"]
    assert (item["requests"], item["input_tokens"], item["output_tokens"]) == (1, one.input, one.output)
    assert item["model"] == NOBODYS and item["nearest"] and set(item["prices"]) >= {"input", "output"}
    input_price, output_price = (Fraction(item["prices"][kind]) for kind in ("input", "output"))
    at_nearest = (one.input * input_price + one.output * output_price) / 10**6
    assert abs(Fraction(item["at_nearest"]) - at_nearest) < EXACT
    assert items["billed_duration_unknown"]["requests"] == 1


def test_a_record_is_checked_and_says_what_it_would_add_which_is_what_repricing_adds(
    client: TestClient,
) -> None:
    one, query = ASKED[WITHOUT_PRICE], {"of_model": NOBODYS, "input": "0.4", "output": "1.6"}
    found = get(client, "/api/unpriced/override", **query)
    assert found["requests"] == 1
    assert Fraction(found["adds"]) == (one.input * Fraction("0.4") + one.output * Fraction("1.6")) / 10**6
    book = PriceBook.load(found["override"])
    at = datetime(2026, 11, 22, tzinfo=UTC)
    price = book.token_price("output", model=NOBODYS, at=at)
    assert price is not None and price.amount == Decimal("1.6")
    file = client.get("/api/unpriced/override", params={**query, "format": "file"})
    assert file.json() == found["override"] and "attachment" in file.headers["content-disposition"]
    for wrong in ({"input": "cheap"}, {"output": "-1"}, {"input": "1e400"}):
        answer = client.get("/api/unpriced/override", params={**query, **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (
            422,
            f"/{next(iter(wrong))}",
        ), wrong


def test_what_aws_has_no_price_for_is_told_at_the_nearest_place(bucket: str) -> None:
    """A Region that nobody lists: duration and requests as in us-east-2, where they cost what they do in us-east-1."""
    events = [
        lines.log_event(line, f"far{one.number}{part}", lines.NOON_MS + 1000 * one.number + part)
        for one in ASKED[:6]
        for part, line in enumerate(written(one, "us-east-9"))
    ]
    ingest(lines.batch(events), Store(bucket), "us-east-9")
    with TestClient(finance.create_app(NextDay())) as far:
        found = {item["reason"]: item for item in get(far, "/api/unpriced")["items"]}
    for architecture in ("arm64", "x86_64"):
        item = found[f"no_price:duration:us-east-9/{architecture}"]
        of_it = [one for one in ASKED[:6] if one.architecture == architecture]
        by_hand = sum((one.ms(one.billed_ms or 0) for one in of_it), Fraction(0))
        assert (item["requests"], item["nearest"]) == (len(of_it), f"us-east-2/{architecture}")
        assert abs(Fraction(item["at_nearest"]) - by_hand) < EXACT
    requests = found["no_price:request:us-east-9"]
    assert (requests["nearest"], Fraction(requests["at_nearest"])) == ("us-east-2", 6 * Fraction("0.0000002"))
    assert found["no_price:logs_ingestion:us-east-9"]["nearest"].startswith("us-east-")


@pytest.mark.parametrize(
    ("attempts", "reason"),
    [
        ([(NOBODYS, {}), ("gpt-4o-mini", {})], "tokens_priced_in_part"),
        ([("gpt-4o-mini", {"service_tier": "scale"}), ("gpt-4o-mini", {})], "tokens_priced_in_part"),
        ([("gpt-4o-mini", {"total_tokens": 1}), ("gpt-4o-mini", {})], "usage_inconsistent"),
        ([("gpt-4o-mini", {"total_tokens": 1})], "usage_inconsistent"),
    ],
    ids=["a fallback from a model without price", "another tier", "contradictory first", "contradictory"],
)
def test_tokens_that_are_booked_in_part_are_not_held_against_a_price_of_them_all(
    attempts: list[tuple[str, dict[str, Any]]], reason: str, tmp_path: Path
) -> None:
    book = PriceBook.load()
    listed = [
        {"attempt": number, "model": model, "usage": lines.usage(**counted)}
        for number, (model, counted) in enumerate(attempts, 1)
    ]
    (batch,) = read_landing(
        lines.batch(lines.log_events(lines.request("r", attempts=listed, model_returned="gpt-4o-mini")))
    )
    whole_day = Filters(start=lines.NOON - timedelta(hours=12), end=lines.NOON + timedelta(hours=12))
    sizes = input_sizes([TO], whole_day.days, book)
    with DuckEngine(write_days(tmp_path / "rows", join(batch.records, book))) as engine:
        [rows] = engine.rows([queries.tokens(whole_day, sizes)])
    made = [
        of(Tokens(rows, sizes, book), Supposed(to_model=TO, cache_percent=50)) for of in (other_model, cached)
    ]
    assert [scenario.difference for scenario in made] == [0, 0]
    assert [scenario.status for scenario in made] == ["unknown", "unknown"]
    assert {why.removesuffix(":2026-11-22") for scenario in made for why in scenario.unknown} == {reason}
