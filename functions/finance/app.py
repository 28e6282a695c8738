"""The finance API: reports, rows and exports of the ledger as JSON, and a page that shows them.

Whoever may read it is decided before it (IAM): it knows no users. FastAPI's own documentation pages load their
scripts from a CDN, so /docs is a page of ours over the same /openapi.json.

The one POST starts a job. A signature is needed to get here, which another site's page cannot make; but a browser may
be behind a proxy that signs whatever it sends, so what a browser says comes from elsewhere is refused as well.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from tempfile import gettempdir
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as PathParameter
from fastapi.dependencies.models import Dependant
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from mangum import Mangum
from pydantic import BaseModel, ConfigDict, Field

from weir.errors import ConfigurationError
from weir.ledger.current_book import CurrentBook
from weir.ledger.metering import Used
from weir.ledger.store import Store
from weir.outcomes import Outcome
from weir.pricing.price_book import PriceBook
from weir.reports import export_jobs
from weir.reports.athena import AthenaEngine, AthenaRunning
from weir.reports.budget import budget_from
from weir.reports.charge_lines import as_csv, requests_as_csv
from weir.reports.params import (
    ExportFormat,
    FieldError,
    by_of,
    check_names,
    period_before,
    range_of,
    tags_of,
    zone_of,
)
from weir.reports.parquet_cache import RowFiles
from weir.reports.report import CursorError, Filters, LedgerReader
from weir.reports.response_models import (
    CorrectionsPageResponse,
    ExportResponse,
    ExportStartedResponse,
    OverviewResponse,
    PageResponse,
    ReportResponse,
    RequestResponse,
    RunningResponse,
    problem_response,
)
from weir.reports.row_queries import Sort
from weir.reports.studies import Studies
from weir.reports.study_models import (
    ChargeRequestsResponse,
    ChargesResponse,
    CompareResponse,
    ExplainedResponse,
    LatencyResponse,
    OverrideResponse,
    UnpricedQueueResponse,
    WhatIfResponse,
)
from weir.reports.supposition import Supposed
from weir.reports.web import PageFiles, SafeHeaders, handle_errors, not_valid, pointer_to, refuse_other_sites

PAGE = Path(__file__).parent / "page"
# Every outcome of the closed set, and rows that have none.
_OUTCOMES = {name.name: name.value for name in Outcome} | {"UNKNOWN": "unknown"}
OutcomeFilter = StrEnum("OutcomeFilter", _OUTCOMES)  # type: ignore[misc]  # its members are the closed set's
_Name = Annotated[str | None, Field(max_length=256)]
# What a parameter means, in a query and in a body.
TZ = "IANA name; days and hours are those of it."
FROM = "A day of the zone, or an instant with its own; default: the seven days before `to`."
TO = "The day or instant after the range; default: tomorrow, so that today is in it."
OUTCOME = "How it ended; `unknown` finds rows without an outcome."
MODEL = "As requested or as returned; `(unknown)` finds none."
SERVED_MODEL = (
    "The name that breakdowns go by: what answered, or else what was asked for; `(unknown)` finds none."
)
TENANT = "Whose request it was, by identity; `(unknown)` finds those of nobody known."
FUNCTION = "The Lambda function's name; or `(unknown)`."
TAG = "`name=value`, or `name` for any value; all must hold."
_RUNNING: dict[int | str, dict[str, Any]] = {
    202: {
        "model": RunningResponse,
        "description": "Athena is at work: ask the same again after Retry-After seconds",
    }
}


CSV_REQUESTS = 10_000  # what fits a function's answer: 6 MB
_CSV: dict[str, Any] = {"content": {"text/csv": {"schema": {"type": "string"}}}}


class Services:
    """What the routes need, made at the first request, so that importing this module reads nothing."""

    @property
    def store(self) -> Store:
        """The ledger's bucket."""
        return _store(os.environ["WEIR_LEDGER_BUCKET"])

    @property
    def book(self) -> PriceBook:
        """The prices of this ledger, as they are now. Raises PriceBookError, StoreError."""
        overrides = os.environ.get("WEIR_PRICE_OVERRIDES", "")
        return _current_book(os.environ["WEIR_LEDGER_BUCKET"], os.environ.get("AWS_REGION"), overrides).get()

    @property
    def reader(self) -> LedgerReader:
        """The ledger as it is configured. Raises ConfigurationError."""
        return _reader(
            self,
            os.environ["WEIR_LEDGER_BUCKET"],
            self.book,
            os.environ.get("WEIR_MONTHLY_BUDGET_USD", ""),
            os.environ.get("WEIR_ATHENA_WORKGROUP", ""),
            os.environ.get("WEIR_ATHENA_DATABASE", ""),
            os.environ.get("WEIR_ATHENA_OVER_BYTES", ""),
        )

    @property
    def studies(self) -> Studies:
        """What finance asks beyond the report, of the same ledger. Raises ConfigurationError."""
        return Studies(self.reader, self.store, self.book, self.now)

    @property
    def export_function(self) -> tuple[Any, str]:
        """boto3's client for Lambda, and the function's name. Raises LedgerJobsError."""
        name = os.environ.get("WEIR_EXPORT_FUNCTION", "")
        if not name:
            raise export_jobs.LedgerJobsError(
                "WEIR_EXPORT_FUNCTION is not set: no function writes exports here"
            )
        return _lambda(), name

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)


_athena_used = Used()


@cache
def _store(bucket: str) -> Store:
    return Store(bucket)


@cache
def _current_book(bucket: str, region: str | None, overrides: str) -> CurrentBook:
    return CurrentBook(_store(bucket), region, overrides)


@cache
def _lambda() -> Any:
    import boto3  # heavy: not before it is needed

    return boto3.client("lambda")


@lru_cache(maxsize=2)  # other prices make another one, and nobody asks for the old one again
def _reader(
    services: Services,
    bucket: str,
    book: PriceBook,
    budget: str,
    workgroup: str,
    database: str,
    over_bytes: str,
) -> LedgerReader:
    store = _store(bucket)
    # By bucket: a process may be given another one, and must not find the old rows.
    rows = RowFiles(store, book, Path(gettempdir()) / "weir-rows" / bucket, services.now)
    if over_bytes and not over_bytes.isdecimal():
        raise ConfigurationError(f"WEIR_ATHENA_OVER_BYTES: expected a number of bytes, got {over_bytes!r}")
    return LedgerReader(
        store,
        book,
        rows,
        services.now,
        budget=budget_from("WEIR_MONTHLY_BUDGET_USD", budget),
        athena=AthenaEngine(workgroup, database, used=_athena_used) if workgroup else None,
        athena_over_bytes=int(over_bytes or 0),
    )


class ExportBody(BaseModel):
    """What to export: a format, a range, and the filters of every other question."""

    model_config = ConfigDict(extra="forbid")

    format: ExportFormat = Field(description="focus is FOCUS 1.2 as Parquet")
    from_: str | None = Field(None, alias="from", max_length=64, description=FROM)
    to: str | None = Field(None, max_length=64, description=TO)
    tz: str = Field("UTC", max_length=64, description=TZ)
    outcome: OutcomeFilter | None = Field(None, description=OUTCOME)
    model: _Name = Field(None, description=MODEL)
    served_model: _Name = Field(None, description=SERVED_MODEL)
    tenant: _Name = Field(None, description=TENANT)
    function: _Name = Field(None, description=FUNCTION)
    tag: list[str] = Field([], max_length=10, description=TAG)


def known_parameters(request: Request) -> None:
    """Refuse what is mistyped: a filter that nobody reads would give the whole for a part. Raises FieldError."""
    route = request.scope["route"]
    if isinstance(route, APIRoute) and route.include_in_schema:  # a page's own query is the page's
        names = set(_query_names(route.dependant))
        check_names(request.query_params.multi_items(), names, repeated={"tag"})


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def create_app(services: Services) -> FastAPI:
    """The application over `services`."""
    app = FastAPI(
        title="Weir finance API",
        version="1",
        summary="What each request cost: reports, rows and exports of the ledger.",
        responses={
            422: problem_response("A parameter is not valid; `errors` names it"),
            503: problem_response("The ledger cannot be read"),
        },
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_parameters)],
    )

    def time_zone(
        tz: Annotated[str, Query(max_length=64, description=TZ)] = "UTC",
    ) -> ZoneInfo:
        return zone_of(tz)

    def time_range(
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        start: Annotated[
            str | None,
            Query(
                alias="from",
                max_length=64,
                description=FROM,
            ),
        ] = None,
        end: Annotated[
            str | None,
            Query(
                alias="to",
                max_length=64,
                description=TO,
            ),
        ] = None,
    ) -> Filters:
        return range_of(start, end, zone, services.now())

    def filters(
        within: Annotated[Filters, Depends(time_range)],
        outcome: Annotated[OutcomeFilter | None, Query(description=OUTCOME)] = None,
        model: Annotated[
            str | None,
            Query(max_length=256, description=MODEL),
        ] = None,
        served_model: Annotated[str | None, Query(max_length=256, description=SERVED_MODEL)] = None,
        tenant: Annotated[
            str | None,
            Query(max_length=256, description=TENANT),
        ] = None,
        function: Annotated[str | None, Query(max_length=256, description=FUNCTION)] = None,
        tag: Annotated[
            list[str],
            Query(max_length=10, description=TAG),
        ] = [],  # noqa: B006  # FastAPI copies it
    ) -> Filters:
        return replace(
            within,
            outcome=outcome and outcome.value,
            model=model,
            served_model=served_model,
            tenant=tenant,
            function=function,
            tags=tags_of(tag),
        )

    def suppositions(
        ttft_ms: Annotated[int, Query(description="Added to the wait for the first token.")] = -200,
        memory_mb: Annotated[
            int | None,
            Query(description="Of every function whose peak it fits; default: what is recommended."),
        ] = None,
        architecture: Annotated[
            Literal["arm64", "x86_64"] | None, Query(description="Default: the other one.")
        ] = None,
        environments: Annotated[
            int | None,
            Query(
                description="Kept warm for each function; default: what its busiest minute needs on average."
            ),
        ] = None,
        concurrency: Annotated[int, Query(description="Requests that share an environment.")] = 10,
        instance_usd_hour: Annotated[
            Decimal | None, Query(description="What an instance costs; default: what the price book has.")
        ] = None,
        instance_memory_gb: Annotated[
            Decimal | None, Query(description="The memory of that instance.")
        ] = None,
        instance_fee_percent: Annotated[
            Decimal | None, Query(description="AWS's fee, of that price; default: what the price book has.")
        ] = None,
        cache_percent: Annotated[
            float | None,
            Query(description="Of the input, read from a cache; default: that of requests which do."),
        ] = None,
        from_model: Annotated[
            str | None, Query(max_length=256, description="Whose tokens another writes; default: all.")
        ] = None,
        to_model: Annotated[
            str | None, Query(max_length=256, description="The model that answers instead.")
        ] = None,
        to_region: Annotated[
            str | None, Query(max_length=64, description="The Region in which the functions run instead.")
        ] = None,
    ) -> Supposed:
        return Supposed(
            ttft_ms=ttft_ms,
            memory_mb=memory_mb,
            architecture=architecture,
            environments=environments,
            concurrency=concurrency,
            instance_usd_hour=instance_usd_hour,
            instance_memory_gb=instance_memory_gb,
            instance_fee_percent=instance_fee_percent,
            cache_percent=cache_percent,
            from_model=from_model,
            to_model=to_model,
            to_region=to_region,
        )

    series_by = Query(
        max_length=80,
        description="What the series is split by: component, outcome, tenant, feature, model, function or tag:NAME.",
    )

    @app.get(
        "/api/overview",
        tags=["totals"],
        summary="A report's totals and series alone, to be shown before the rest",
        response_model=OverviewResponse,
        responses=_RUNNING,
    )
    def get_overview(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        by: Annotated[str, series_by] = "component",
    ) -> dict[str, Any]:
        return services.reader.overview(wanted, by_of(by), zone)

    @app.get(
        "/api/report",
        tags=["totals"],
        summary="What a range cost, by what, and how far that can be trusted",
        response_model=ReportResponse,
        responses=_RUNNING,
    )
    def get_report(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        by: Annotated[str, series_by] = "component",
    ) -> dict[str, Any]:
        return services.reader.report(wanted, by_of(by), zone)

    @app.get(
        "/api/latency",
        tags=["totals"],
        summary="What latency costs: the billed time by phase, beside the tokens",
        response_model=LatencyResponse,
        responses=_RUNNING,
    )
    def get_latency(
        wanted: Annotated[Filters, Depends(filters)], zone: Annotated[ZoneInfo, Depends(time_zone)]
    ) -> dict[str, Any]:
        return services.studies.latency(wanted, zone)

    @app.get(
        "/api/compare",
        tags=["totals"],
        summary="Two periods: what the cost changed by, and what made it",
        response_model=CompareResponse,
        responses=_RUNNING,
    )
    def compare_periods(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        before_from: Annotated[
            str | None,
            Query(max_length=64, description="As `from`; default: a period as long, or as many months."),
        ] = None,
        before_to: Annotated[
            str | None, Query(max_length=64, description="As `to`; default: `from`.")
        ] = None,
        by: Annotated[
            str,
            Query(max_length=80, description="outcome, tenant, feature, model, function or tag:NAME."),
        ] = "model",
    ) -> dict[str, Any]:
        if by_of(by) == "component":
            raise FieldError(
                "by", "expected what requests have: outcome, tenant, feature, model, function or tag:NAME"
            )
        return services.studies.compare(period_before(wanted, before_from, before_to, zone), wanted, by, zone)

    @app.get(
        "/api/unpriced",
        tags=["totals"],
        summary="What is not priced, as a queue of work",
        response_model=UnpricedQueueResponse,
        responses=_RUNNING,
    )
    def list_unpriced(
        wanted: Annotated[Filters, Depends(filters)], zone: Annotated[ZoneInfo, Depends(time_zone)]
    ) -> dict[str, Any]:
        return services.studies.unpriced(wanted, zone)

    @app.get(
        "/api/unpriced/override",
        tags=["totals"],
        summary="The record that would price a model's tokens, checked, and what it would add",
        response_model=OverrideResponse,
        responses=_RUNNING,
    )
    def make_override(
        within: Annotated[Filters, Depends(time_range)],
        of_model: Annotated[str, Query(max_length=256, description="The model that has no price.")],
        input: Annotated[str, Query(max_length=40, description="USD a million tokens.")],
        output: Annotated[str, Query(max_length=40, description="USD a million tokens.")],
        cached_input: Annotated[
            str | None, Query(max_length=40, description="USD a million tokens; default: as input.")
        ] = None,
        format: Annotated[Literal["json", "file"], Query(description="file: the record alone.")] = "json",
    ) -> Any:
        prices = {"input": input, "cached_input": cached_input, "output": output}
        found = services.studies.override(within, of_model, prices)
        if format == "json":
            return found
        disposition = {"content-disposition": 'attachment; filename="price-overrides.json"'}
        return JSONResponse(found["override"], headers=disposition)

    @app.get(
        "/api/whatif",
        tags=["totals"],
        summary="What a range would have cost, had one thing been another",
        response_model=WhatIfResponse,
        responses=_RUNNING,
    )
    def get_what_if(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        supposed: Annotated[Supposed, Depends(suppositions)],
    ) -> dict[str, Any]:
        return services.studies.what_if(wanted, supposed, zone)

    @app.get(
        "/api/requests",
        tags=["rows"],
        summary="Rows of the ledger",
        response_model=PageResponse,
        responses=_RUNNING,
    )
    def list_requests(
        wanted: Annotated[Filters, Depends(filters)],
        cursor: Annotated[str | None, Query(max_length=1024, description="`next_cursor` of a page.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many rows.")] = 50,
        sort: Annotated[
            Sort,
            Query(
                description="The newest first; or those that cost most, in all or of one phase or charge; that saved "
                "most; or that took longest, until the first token or the end."
            ),
        ] = "newest",
    ) -> dict[str, Any]:
        try:
            return services.reader.page(wanted, sort, limit, cursor)
        except CursorError as error:
            raise FieldError("cursor", str(error)) from error

    @app.get(
        "/api/requests/{request_id}",
        tags=["rows"],
        summary="One request, and what its time went to",
        response_model=RequestResponse,
        description="Looked for on the days of `from` and `to`; without them in the whole ledger, the newest days "
        "first. Its corrections are shown whenever they were found.",
        responses={404: problem_response("No such request"), **_RUNNING},
    )
    def get_request(
        request: Request,
        request_id: Annotated[str, PathParameter(description="Lambda's id, the caller's x-request-id.")],
        within: Annotated[Filters, Depends(time_range)],
    ) -> dict[str, Any]:
        asked = {"from", "to"} & set(request.query_params)
        found = services.reader.one(request_id, within.days if asked else None)
        if found is None:
            days = f"on the UTC days {within.days[0]} to {within.days[1]}" if asked else "in the ledger"
            raise HTTPException(404, f"no request {request_id[:128]!r} {days}")
        return found

    @app.get(
        "/api/requests/{request_id}/charges",
        tags=["rows"],
        summary="One request's charges: quantity by unit price is the amount",
        response_model=ExplainedResponse,
        responses={200: _CSV, 404: problem_response("No such request"), **_RUNNING},
    )
    def explain_request(
        request: Request,
        request_id: Annotated[str, PathParameter(description="Lambda's id, the caller's x-request-id.")],
        within: Annotated[Filters, Depends(time_range)],
        format: Annotated[Literal["json", "csv"], Query(description="csv: the lines alone.")] = "json",
    ) -> Any:
        asked = {"from", "to"} & set(request.query_params)
        found = services.studies.explain(request_id, within.days if asked else None)
        if found is None:
            raise HTTPException(404, f"no request {request_id[:128]!r}")
        return _as_csv(found["lines"], request_id) if format == "csv" else found

    @app.get(
        "/api/charges",
        tags=["totals"],
        summary="What the sums of a range are made of: quantity by unit price, line by line",
        response_model=ChargesResponse,
        responses={200: _CSV, **_RUNNING},
    )
    def list_charges(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        format: Annotated[Literal["json", "csv"], Query(description="csv: the lines alone.")] = "json",
    ) -> Any:
        found = services.studies.charges(wanted, zone)
        return _as_csv(found["lines"], "charges") if format == "csv" else found

    @app.get(
        "/api/charges/requests",
        tags=["rows"],
        summary="The requests that a line of charges is made of, each with its share",
        response_model=ChargeRequestsResponse,
        responses={200: _CSV, **_RUNNING},
    )
    def list_charged_requests(
        wanted: Annotated[Filters, Depends(filters)],
        zone: Annotated[ZoneInfo, Depends(time_zone)],
        line: Annotated[
            str, Query(max_length=64, description="`id` of a line of /api/charges, of this range.")
        ],
        cursor: Annotated[str | None, Query(max_length=1024, description="`next_cursor` of a page.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many rows.")] = 50,
        format: Annotated[
            Literal["json", "csv"], Query(description=f"csv: all of them, up to {CSV_REQUESTS:,}.")
        ] = "json",
    ) -> Any:
        if format == "csv":
            pages = list(services.studies.all_charge_requests(wanted, zone, line, CSV_REQUESTS))
            shares = (share for page in pages for share in page["rows"])
            return _csv_file("".join(requests_as_csv(pages[0]["line"], shares)), f"requests-of-{line}")
        try:
            return services.studies.charge_requests(wanted, zone, line, limit, cursor)
        except CursorError as error:
            raise FieldError("cursor", str(error)) from error

    @app.get(
        "/api/corrections",
        tags=["rows"],
        summary="What was found after a month was closed: before, difference, after",
        response_model=CorrectionsPageResponse,
        responses=_RUNNING,
    )
    def list_corrections(
        wanted: Annotated[Filters, Depends(filters)],
        limit: Annotated[int, Query(ge=1, le=100, description="At most so many are listed.")] = 50,
    ) -> dict[str, Any]:
        return services.reader.corrections(wanted, limit)

    @app.post(
        "/api/exports",
        tags=["exports"],
        summary="Start an export",
        status_code=202,
        response_model=ExportStartedResponse,
        responses={
            403: problem_response("The request came from another site's page"),
        },
    )
    def start_export(request: Request, body: ExportBody) -> dict[str, Any]:
        refuse_other_sites(request)
        zone = zone_of(body.tz)
        wanted = replace(
            range_of(body.from_, body.to, zone, services.now()),
            outcome=body.outcome and body.outcome.value,
            model=body.model,
            served_model=body.served_model,
            tenant=body.tenant,
            function=body.function,
            tags=tags_of(body.tag),
        )
        client, function = services.export_function
        job = export_jobs.start(client, function, body.format, wanted, zone.key, services.now())
        return {"id": job, "status": "running", "status_url": f"/api/exports/{job}"}

    @app.get(
        "/api/exports/{job}",
        tags=["exports"],
        summary="How far an export is, and its files",
        response_model=ExportResponse,
        responses={404: problem_response("No such export")},
    )
    def get_export(
        job: Annotated[str, PathParameter(description="The id that starting it gave.")],
    ) -> dict[str, Any]:
        found = export_jobs.status(services.store, job, services.now())
        if found is None:
            raise HTTPException(404, f"no export {job[:64]!r}")
        return found

    for path, name in (("/", "index"), ("/requests/{request_id}", "request"), ("/docs", "docs")):
        app.add_api_route(path, _html(name), include_in_schema=False)
    app.mount("/page", PageFiles(directory=PAGE))
    app.add_middleware(SafeHeaders, files="/page/")
    handle_errors(app, [field.alias or name for name, field in ExportBody.model_fields.items()])

    @app.exception_handler(FieldError)
    async def wrong(request: Request, error: FieldError) -> JSONResponse:
        return not_valid({pointer_to(error.field): error.message})

    @app.exception_handler(AthenaRunning)
    async def running(request: Request, error: AthenaRunning) -> JSONResponse:
        members = {"status": "running", "retry_after_s": error.retry_after_s}
        return JSONResponse(members, 202, headers={"retry-after": str(error.retry_after_s)})

    return app


def _as_csv(lines: list[dict[str, Any]], name: str) -> Response:
    return _csv_file(as_csv(lines), name)


def _csv_file(text: str, name: str) -> Response:
    safe = "".join(character for character in name if character.isalnum() or character in "-_")[:80]
    disposition = {"content-disposition": f'attachment; filename="{safe}.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=disposition)


def _html(name: str) -> Any:
    def page() -> FileResponse:
        return FileResponse(PAGE / f"{name}.html", media_type="text/html")

    return page


app = create_app(Services())
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ and "WEIR_LEDGER_BUCKET" in os.environ:
    # Its imports are what the first report would wait for: in INIT nobody has asked yet.
    _ = Services().store.client


def _taken() -> dict[str, int]:
    """What was asked of S3 and Athena since the last time."""
    used = _athena_used.take()
    if bucket := os.environ.get("WEIR_LEDGER_BUCKET"):
        of_store = _store(bucket).used.take()
        used.s3_gets, used.s3_puts = of_store.s3_gets, of_store.s3_puts
    return used.as_json()


@cache
def _adapter() -> Mangum:
    # Mangum runs requests on the thread's current loop, and leans on Python to make one, which is deprecated.
    asyncio.set_event_loop(asyncio.new_event_loop())
    text = ["text/", "application/json", "application/problem+json"]
    return Mangum(app, lifespan="off", text_mime_types=text)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle one event of a function URL or of API Gateway; what it took of S3 and Athena is logged for the ledger."""
    try:
        return _adapter()(event, context)
    finally:
        if used := _taken():
            print(json.dumps({"level": "INFO", "message": "finance.answered", "used": used}), flush=True)
