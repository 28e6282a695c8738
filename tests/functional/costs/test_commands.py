"""The commands over a ledger in moto's S3: what they print and write, and how they end."""

import csv
import json
import os
import pty
import shlex
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from random import Random

import boto3
import openpyxl
import pytest

from infra.costs.__main__ import parser
from infra.local import bill
from tests import log_lines as lines
from tests.unit.cloudformation import ROOT
from tests.unit.test_packaging import commands
from weir.ledger.store import Store
from weir.pricing.price_book import PriceBook
from weir.reports.engine import DuckEngine
from weir.reports.parquet_cache import RowFiles

from .conftest import SPAN, Costs, book

BOOK = PriceBook.load()


def report(costs: Costs, *options: str) -> dict[str, object]:
    code, out, err = costs("report", *SPAN, "--json", *options)
    assert (code, err) == (0, "")
    found: dict[str, object] = json.loads(out)
    return found


def test_a_report_is_a_page_that_a_person_reads(read_bucket: str, costs: Costs) -> None:
    code, out, err = costs("report", *SPAN)
    assert (code, err) == (0, "")
    assert "4 requests" in out
    for title in ("by component", "by outcome", "by tenant", "waste", "unit economics", "latency, ms"):
        assert f"\n{title}\n" in out, title
    assert "acme" in out and "invalid output" in out
    assert f"priced with book {BOOK.version}" in out
    assert max(map(len, out.splitlines())) <= 120


def test_an_empty_ledger_is_a_report_too(empty: str, costs: Costs) -> None:
    code, out, err = costs("report", *SPAN)
    assert (code, err) == (0, "")
    assert "0 requests, 0.000000 USD" in out


def test_a_report_by_a_tag_has_its_values_as_a_table(bucket: str, costs: Costs) -> None:
    book(bucket, "r9", tags={"flag": "beta"})
    assert "\nby tag flag\n" not in costs("report", *SPAN)[1]
    code, out, err = costs("report", *SPAN, "--by", "tag:flag")
    assert (code, err) == (0, "")
    [line] = [line for line in out.split("\nby tag flag\n")[1].splitlines() if "beta" in line]
    assert "1" in line.split()


def test_its_json_is_what_the_api_gives_and_filters_have_the_apis_names(
    read_bucket: str, costs: Costs
) -> None:
    whole = report(costs)
    assert whole["totals"]["requests"] == 4  # type: ignore[index]
    components = whole["totals"]["components"]  # type: ignore[index]
    assert components.pop("metering") is None  # nobody has counted it
    assert sum(map(Decimal, components.values())) == Decimal(whole["totals"]["total"])  # type: ignore[index]
    for options, requests in (
        (("--outcome", "invalid_output"), 1),
        (("--tenant", "acme"), 1),
        (("--tag", "team=search"), 3),
        (("--tag", "team=search", "--tag", "tenant"), 1),
        (("--model", "no-such"), 0),
        (("--function", "generate"), 4),
    ):
        assert report(costs, *options)["totals"]["requests"] == requests, options  # type: ignore[index]


def test_a_day_is_a_day_of_the_zone(read_bucket: str, costs: Costs) -> None:
    def requests(*options: str) -> int:
        code, out, _ = costs("report", "--json", *options)
        assert code == 0
        return int(json.loads(out)["totals"]["requests"])

    # Noon UTC of the 22nd is the 23rd on Kiritimati (UTC+14).
    assert requests("--from", "2026-11-22", "--to", "2026-11-23") == 3
    assert requests("--from", "2026-11-22", "--to", "2026-11-23", "--tz", "Pacific/Kiritimati") == 1
    assert requests("--from", "2026-11-22T13:00:00+01:00", "--to", "2026-11-23") == 3
    assert requests("--from", "2026-11-22T13:00:01+01:00", "--to", "2026-11-23") == 0


def test_a_budget_is_told_with_its_forecast(read_bucket: str, costs: Costs) -> None:
    code, out, _ = costs("report", *SPAN, "--budget", "0.002")
    assert code == 0
    assert "budget 2026-11: 0.00" in out and "forecast" in out


def test_what_is_not_priced_is_said(bucket: str, costs: Costs) -> None:
    book(bucket, "r9", model_returned="nobody-knows", model="nobody-knows")
    code, out, _ = costs("report", *SPAN)
    assert code == 0
    assert "the sum is a lower bound: 1 rows are not priced whole" in out


def test_a_name_from_outside_is_shown_and_does_nothing(bucket: str, costs: Costs) -> None:
    book(bucket, "r9", model_returned="[red]gpt\x1b[2J", model="gpt-4o-mini")
    code, out, _ = costs("report", *SPAN)
    assert code == 0
    assert "[red]gpt?[2J" in out and "\x1b" not in out


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "focus", "focus-csv"])
def test_exports_are_files_whose_names_are_printed(
    read_bucket: str, costs: Costs, tmp_path: Path, form: str
) -> None:
    code, out, err = costs("export", *SPAN, "--format", form, "--out", str(tmp_path / "new"))
    assert (code, err) == (0, "")
    paths = [Path(line) for line in out.splitlines()]
    assert paths and all(path.stat().st_size for path in paths)
    assert set(paths) == set((tmp_path / "new").iterdir())


def test_an_export_says_what_it_was_made_of(read_bucket: str, costs: Costs, tmp_path: Path) -> None:
    code, out, _ = costs("export", *SPAN, "--tz", "Europe/Berlin", "--format", "csv", "--out", str(tmp_path))
    assert code == 0
    data, beside = (Path(line) for line in out.splitlines())
    with data.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert not any(cell.startswith("=") for row in rows for cell in row.values())
    assert BOOK.version in beside.read_text() and "Europe/Berlin" in beside.read_text()
    code, out, _ = costs("export", *SPAN, "--format", "xlsx", "--out", str(tmp_path))
    assert code == 0
    workbook = openpyxl.load_workbook(out.splitlines()[0])
    assert len(workbook.sheetnames) >= 3


def bill_of(bucket: str, path: Path, *seed: bill.Seed) -> Path:
    """The bill of the ledger in `bucket`, right or with an error in it."""
    files = RowFiles(Store(bucket), BOOK, path.parent / "rows", lambda: datetime.now(UTC))
    with DuckEngine(files.files(date(2026, 11, 1), datetime.now(UTC).date()).files) as engine:
        invocations = bill.metered(engine.query)
    make = seed[0] if seed else bill.charges
    bill.write_bill(path, make(invocations, BOOK), "cur")
    return path


def test_a_right_bill_reconciles(read_bucket: str, costs: Costs, tmp_path: Path) -> None:
    right = bill_of(read_bucket, tmp_path / "right.csv")
    code, out, err = costs("reconcile", "--bill", str(right), "--csv", str(tmp_path / "lines.csv"))
    assert (code, err) == (0, ""), out
    assert "0 red" in out
    with (tmp_path / "lines.csv").open(newline="") as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"green"}


def test_a_wrong_bill_is_red_and_says_why(read_bucket: str, costs: Costs, tmp_path: Path) -> None:
    wrong = bill_of(read_bucket, tmp_path / "wrong.parquet", bill.wrong_memory(date(2026, 11, 22)))
    code, out, err = costs("reconcile", "--bill", str(wrong), "--json")
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert found["status"] == "red"
    assert any("memory" in reason for reason in found["reasons"])
    lost = bill_of(read_bucket, tmp_path / "lost.csv.gz", bill.lost(0.5, Random(1)))
    assert costs("reconcile", "--bill", str(wrong), str(lost))[0] in (1, 2)


def test_compacting_and_pricing_again_change_nothing_twice(bucket: str, costs: Costs) -> None:
    before = report(costs)["totals"]
    code, out, _ = costs("compact", *SPAN)
    assert code == 0
    assert json.loads(out)["days"] == ["2026-11-21", "2026-11-22"]
    assert json.loads(costs("compact", *SPAN)[1])["days"] == []
    assert report(costs)["totals"] == before
    code, out, _ = costs("reprice", *SPAN)
    assert code == 0
    assert "4 requests of 2 days, 0 with other money" in out


def test_contract_prices_are_weighed_before_they_are_booked(
    bucket: str, costs: Costs, tmp_path: Path
) -> None:
    assert costs("compact", *SPAN)[0] == 0
    before = Decimal(report(costs)["totals"]["total"])  # type: ignore[index]
    overrides = tmp_path / "contract.json"
    overrides.write_text((ROOT / "infra/local/prices.json").read_text().replace("sim-1", "gpt-4o-mini"))
    dearer = ("--price-overrides", str(overrides))
    code, out, err = costs("reprice", *SPAN, "--json", *dearer)
    assert (code, err) == (0, "")
    looked = json.loads(out)
    assert looked["written"] == []
    assert Decimal(report(costs)["totals"]["total"]) == before  # type: ignore[index]
    applied = json.loads(costs("reprice", *SPAN, "--json", "--apply", *dearer)[1])
    assert applied["written"]
    # The days keep these prices, whatever book compacts what comes late to them.
    assert Decimal(report(costs)["totals"]["total"]) == Decimal(looked["total"]["now"])  # type: ignore[index]


def test_a_month_is_closed_once_and_can_be_verified(bucket: str, costs: Costs) -> None:
    book(bucket, "r-october", days_before=31)
    october = ("--from", "2026-10-01", "--to", "2026-11-01")
    code, _, err = costs("close", "2026-10")
    assert code == 2 and "compact 2026-10-01 to 2026-10-31 first" in err
    assert costs("compact", *october)[0] == 0
    code, closed, err = costs("close", "2026-10")
    assert code == 0
    assert "completeness was not counted on 31 of its days" in err
    assert json.loads(closed)["totals"]["requests"] == 1
    assert costs("close", "2026-10")[1] == closed
    assert json.loads(costs("compact", *october)[1])["corrections"] == [
        {"month": "2026-10", "number": None, "days": [], "rows": 0}
    ]
    code, out, _ = costs("close", "2026-10", "--verify")
    assert (code, json.loads(out)["holds"]) == (0, True)
    [unit] = json.loads(closed)["units"]
    boto3.client("s3").put_object(Bucket=bucket, Key=unit["key"], Body=b"forged")
    code, out, _ = costs("close", "2026-10", "--verify")
    assert (code, json.loads(out)["holds"]) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "--tz", "Mars/Olympus"), "--tz: expected an IANA time zone"),
        (("report", "--from", "yesterday"), "--from: expected a day"),
        (
            ("report", "--from", "2026-11-22T10:00:00"),
            "'2026-11-22T10:00:00', which has no zone",
        ),
        (("report", "--from", "2026-11-23", "--to", "2026-11-22"), "--from: expected an instant before"),
        (("report", "--outcome", "fine"), "--outcome: expected an outcome or unknown, got 'fine'"),
        (("report", "--tag", "a=b=c"), "--tag: expected name=value"),
        (("report", "--by", "moon"), "--by: expected component, "),
        (("report", "--budget", "much"), "--budget: expected US dollars"),
        (("report", "--bucket", "no-such-bucket"), "s3://no-such-bucket: "),
        (("report", "--price-overrides", "/no/such.json"), "expected a JSON object, or where one lies"),
        (("report", "--profile", "no-such-profile"), "no-such-profile"),
        (("report", "--endpoint-url", "http://127.0.0.1:9"), "EndpointConnectionError"),
        (("reconcile", "--bill", "/no/such/bill.csv"), "/no/such/bill.csv"),
        (("reconcile", "--bill", str(ROOT / "README.md")), "README.md"),
        (("reprice", "--corrections"), "--corrections: expected --apply"),
        (("close", "2026-13"), "expected a month YYYY-MM"),
        (("close", "2999-01"), "can be closed from"),
        (("close", "2026-10", "--verify"), "2026-10 is open"),
        (("export", "--format", "csv", "--out", "/dev/null/x"), "/dev/null"),
        (("dashboard", "--url", "http://finance.example"), "--url: expected https://"),
        (("dashboard", "--url", "https://finance.example/api?x"), "without path and query"),
        (("dashboard",), "expected --stack NAME, got neither"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    empty: str, costs: Costs, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = costs(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"costs {arguments[0]}: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_ledger_is_named_one_way_or_the_other(
    environment: None, costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEIR_LEDGER_BUCKET", raising=False)
    code, _, err = costs("report")
    assert code == 2 and "expected --stack NAME or --bucket NAME, got neither" in err
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    code, _, err = costs("close", "2026-10", "--bucket", "x", "--profile", "")
    assert code == 2 and err.count("\n") == 1


def test_the_commands_of_the_readme_are_understood() -> None:
    for command in commands("functions/finance/README.md"):
        if command.startswith("infra/costs/costs "):
            assert parser({}).parse_args(shlex.split(command)[1:]).command


def test_the_executable_runs_from_any_folder_and_shows_progress_to_people_only(
    read_bucket: str, tmp_path: Path
) -> None:
    command = [ROOT / "infra/costs/costs", "report", *SPAN]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "4 requests" in piped.stdout
    assert (piped.stderr, "\x1b" in piped.stdout) == ("", False)
    terminal, ours = pty.openpty()
    watched = subprocess.run(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=ours,
        env=os.environ | {"TERM": "xterm"},
        check=True,
    )
    os.close(ours)
    assert b"\x1b" in os.read(terminal, 65_536), "progress"
    os.close(terminal)
    assert b"4 requests" in watched.stdout


def test_what_latency_costs_and_what_if_are_the_apis_answers_and_pages_to_read(
    read_bucket: str, costs: Costs
) -> None:
    code, out, err = costs("whatif", *SPAN, "--ttft-ms", "-400", "--to-model", "gpt-4.1", "--json")
    assert (code, err) == (0, "")
    scenarios = {one["name"]: one for one in json.loads(out)["scenarios"]}
    # Four requests waited 400 ms each in 0.5 GB on arm64.
    assert Decimal(scenarios["ttft"]["difference"]) == -4 * Decimal("0.4") / 2 * Decimal("0.0000133334")
    assert scenarios["model"]["title"] == "Every model to gpt-4.1"
    code, out, err = costs("whatif", *SPAN)
    assert (code, err) == (0, "") and "First token 200 ms sooner" in out and "unknown" in out
    assert max(map(len, out.splitlines())) <= 120
    code, out, err = costs("latency", *SPAN, "--json")
    assert json.loads(out)["total"]["requests"] == 4
    code, out, err = costs("latency", *SPAN)
    assert (code, err) == (0, "") and "\nby tenant, USD\n" in out and "waiting" in out
    assert costs("whatif", *SPAN, "--from-model", "gpt-4.1")[0] == 2


def test_a_row_of_what_latency_costs_says_how_to_list_its_requests(bucket: str, costs: Costs) -> None:
    book(bucket, "r9", tenant="it's $(ours)")
    lines = costs("latency", *SPAN, "--tenant", "it's $(ours)")[1].replace("\n", " ")
    [command, *_] = lines.split("the requests of a row: costs ")[1:]
    words = shlex.split(command.partition("  by ")[0])
    code, out, err = costs(*words[: words.index("waiting") + 1])
    assert (code, err) == (0, "") and "r9" in out and "r1" not in out
    code, out, err = costs("requests", *SPAN, "--sort", "waiting", "--limit", "2", "--json")
    found = json.loads(out)
    code, out, err = costs("requests", *SPAN, "--sort", "waiting", "--cursor", found["next_cursor"])
    assert (code, err, len(found["rows"])) == (0, "", 2)
    assert not any(f"\n{row['request_id']} " in out for row in found["rows"])
    assert costs("requests", *SPAN, "--cursor", "nonsense")[0] == 2


def test_a_line_of_the_charges_is_its_requests_and_as_csv_all_of_them(read_bucket: str, costs: Costs) -> None:
    lines_ = json.loads(costs("explain", *SPAN, "--json")[1])["lines"]
    line = next(line for line in lines_ if line["component"] == "output_tokens")
    out = costs("explain", *SPAN)[1]
    assert f" {line['id']}\n" in out and "costs explain --line ID" in out
    code, out, err = costs("explain", *SPAN, "--line", line["id"])
    assert (code, err) == (0, "") and "\nits requests\n" in out and "4 requests" in out
    assert max(map(len, out.splitlines())) <= 120
    rows = list(csv.DictReader(costs("explain", *SPAN, "--line", line["id"], "--csv")[1].splitlines()))
    assert len(rows) == line["requests"] == 4
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal(line["amount"])
    assert sum(Decimal(row["booked"]) for row in rows) == Decimal(line["booked"])
    code, out, err = costs("explain", *SPAN, "--line", "nobodys")
    assert (code, out) == (2, "") and "--line: expected the id of a line" in err


def test_what_was_saved_is_said_by_how(bucket: str, costs: Costs) -> None:
    again = {"attempts": [], "usage": {**lines.usage(0, 0), "source": "none"}}
    for name, usd in (("cache", "0.002"), ("idempotency_key", "0.003")):
        book(bucket, name, answered_from=name, saved={"output_tokens": 300, "usd": usd}, **again)
    book(bucket, "stopped", saved={"output_tokens": 1000})
    saved = json.loads(costs("report", *SPAN, "--json")[1])["totals"]["saved"]
    assert {one["how"]: (one["requests"], one["tokens"], one["total"]) for one in saved["by"]} == {
        "early_stop": (1, 1000, "0.0006"),
        "idempotency_key": (1, 300, "0.003"),
        "cache": (1, 300, "0.002"),
    }
    assert Decimal(saved["total"]) == sum(Decimal(one["total"]) for one in saved["by"])
    out = costs("report", *SPAN)[1]
    assert "\nsaved, an estimate\n" in out and "answered from the cache" in out
    assert "ok, cached" in costs("requests", *SPAN)[1]


def test_charges_are_explained_and_periods_compared_from_the_command_line(
    read_bucket: str, costs: Costs
) -> None:
    code, out, err = costs("explain", "r1", *SPAN)
    assert (code, err) == (0, "") and "output tokens 1" in out and "GB-second" in out
    assert max(map(len, out.splitlines())) <= 120
    code, out, err = costs("explain", *SPAN, "--csv")
    assert {row["component"] for row in csv.DictReader(out.splitlines())} >= {
        "lambda_duration",
        "input_tokens",
    }
    code, out, err = costs("explain", "nobody")
    assert (code, out) == (2, "") and "expected the id of a request, got 'nobody'" in err
    days = ("--from", "2026-11-22", "--to", "2026-11-23")
    code, out, err = costs("compare", *days, "--by", "tag:team", "--json")
    found = json.loads(out)
    assert (found["before"]["requests"], found["after"]["requests"]) == (1, 3)
    assert sum(map(Decimal, found["parts"].values())) == Decimal(found["change"])
    code, out, err = costs("compare", *days)
    assert (code, err) == (0, "") and "\nmoved most, by model\n" in out
    assert costs("compare", *days, "--by", "component")[0] == 2


def test_what_is_not_priced_is_listed_and_a_record_for_it_is_what_overrides_take(
    bucket: str, costs: Costs, tmp_path: Path
) -> None:
    book(bucket, "r9", model_returned="in-house-7b")
    code, out, err = costs("unpriced", *SPAN)
    assert (code, err) == (0, "") and "no price:tokens:in-house-7b" in out
    prices = ("--input", "2", "--output", "4")
    code, out, err = costs("unpriced", *SPAN, "--override", "in-house-7b", *prices)
    # 1,000 tokens in, 500 out.
    assert code == 0 and err.startswith("1 requests of the range would cost 0.004 USD more\n")
    assert "today among them, keep them until `costs reprice --apply`" in err
    (tmp_path / "overrides.json").write_text(out)
    code, out, err = costs("reprice", *SPAN, "--price-overrides", str(tmp_path / "overrides.json"), "--json")
    assert (code, err) == (0, "")
    assert costs("unpriced", *SPAN, "--override", "in-house-7b", "--input", "2")[0] == 2
