"""The finance door: rows and totals of the ledger as JSON, and a page that shows them.

Whoever may read it is decided before it (IAM): it knows no users. Everything that the page needs is served from
here under a content security policy without inline script or other hosts; FastAPI's own documentation pages load
theirs from a CDN, so /docs is a page of ours over the same /openapi.json.
"""

import asyncio
import os
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from mangum import Mangum
from pydantic import AwareDatetime
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from weir.adapters.settings import load_price_book
from weir.adapters.store import Store, StoreError
from weir.core.outcomes import Outcome
from weir.core.pricing.prices import PriceBook
from weir.usecases.answers import PageAnswer, RowAnswer, SummaryAnswer, problem_response
from weir.usecases.report import CursorError, Filters, page, read, summary, utc

PAGE = Path(__file__).parent / "page"
_FILES = {"dashboard.css": "text/css", "dashboard.js": "text/javascript", "docs.js": "text/javascript"}
_DEFAULT_RANGE = timedelta(days=7)
_MAX_RANGE = timedelta(days=93)  # one function reads and joins it all: longer ranges are for exports
_YEARS = (2000, 2999)  # a calendar's ends leave no room for the margin with which a range is read
_TAG = re.compile(r"[A-Za-z0-9._:/@-]{1,64}(=[A-Za-z0-9._:/@-]{1,64})?")
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
# Every outcome of the closed set, and rows that have none.
OutcomeFilter = StrEnum("OutcomeFilter", {name.name: name.value for name in Outcome} | {"UNKNOWN": "unknown"})  # type: ignore[misc]


class FieldError(Exception):
    """A parameter that is valid by itself but not with the others."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class Services:
    """What the routes need, made at the first request, so that importing this module reads nothing."""

    @property
    def store(self) -> Store:
        """The ledger's bucket."""
        return _store(os.environ["WEIR_LEDGER_BUCKET"])

    @property
    def book(self) -> PriceBook:
        """The price book, with the contract's prices."""
        return load_price_book(os.environ.get("WEIR_PRICE_OVERRIDES", ""))

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)


@cache
def _store(bucket: str) -> Store:
    return Store(bucket)


class SafeHeaders:
    """ASGI middleware that gives every answer the headers above."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def create_app(services: Services) -> FastAPI:
    """The application over `services`."""
    app = FastAPI(
        title="Weir finance API",
        version="1",
        summary="What each request cost: rows and totals of the ledger.",
        responses={
            422: problem_response("A parameter is not valid; `errors` names it"),
            503: problem_response("The ledger's storage cannot be read"),
        },
        docs_url=None,
        redoc_url=None,
    )

    def time_range(
        start: Annotated[
            AwareDatetime | date | None,
            Query(alias="from", description="First instant, or UTC day; default: seven days before `to`."),
        ] = None,
        end: Annotated[
            AwareDatetime | date | None,
            Query(alias="to", description="First instant, or UTC day, after the range; default: now."),
        ] = None,
    ) -> Filters:
        try:
            until = services.now() + timedelta(seconds=1) if end is None else utc(end)
            since = until - _DEFAULT_RANGE if start is None else utc(start)
        except OverflowError:
            raise FieldError("from", f"expected years {_YEARS[0]} to {_YEARS[1]}, got others") from None
        for field, instant in (("from", since), ("to", until)):
            if not _YEARS[0] <= instant.year <= _YEARS[1]:
                raise FieldError(
                    field, f"expected a year from {_YEARS[0]} to {_YEARS[1]}, got {instant.year}"
                )
        if since >= until:
            raise FieldError(
                "from", f"expected an instant before {until.isoformat()}, got {since.isoformat()}"
            )
        if until - since > _MAX_RANGE:
            raise FieldError("from", f"expected at most {_MAX_RANGE.days} days, got {(until - since).days}")
        return Filters(start=since, end=until)

    def filters(
        within: Annotated[Filters, Depends(time_range)],
        outcome: Annotated[
            OutcomeFilter | None, Query(description="How it ended; `unknown` finds rows without an outcome.")
        ] = None,
        model: Annotated[
            str | None, Query(max_length=256, description="As requested or as returned.")
        ] = None,
        tag: Annotated[
            list[str],
            Query(max_length=10, description="`name=value`, or `name` for any value; all must hold."),
        ] = [],  # noqa: B006  # FastAPI copies it
    ) -> Filters:
        for given in tag:
            if not _TAG.fullmatch(given):
                raise FieldError("tag", "expected name=value or name, of letters, digits and . _ : / @ -")
        return replace(within, outcome=outcome and outcome.value, model=model, tags=tuple(tag))

    @app.get("/api/requests", tags=["rows"], summary="Rows of the ledger, newest first")
    def list_requests(
        wanted: Annotated[Filters, Depends(filters)],
        cursor: Annotated[str | None, Query(max_length=512, description="`next_cursor` of a page.")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> PageAnswer:
        report = read(services.store, services.book, wanted)
        try:
            rows, next_cursor = page(report.rows, cursor, limit)
        except CursorError as error:
            raise FieldError("cursor", str(error)) from error
        return PageAnswer(
            rows=[RowAnswer.model_validate(row.as_json()) for row in rows],
            next_cursor=next_cursor,
            price_book_version=services.book.version,
            unreadable_objects=len(report.unreadable),
        )

    @app.get(
        "/api/requests/{request_id}",
        tags=["rows"],
        summary="One request's row",
        responses={404: problem_response("No such request in the range")},
    )
    def get_request(request_id: str, within: Annotated[Filters, Depends(time_range)]) -> RowAnswer:
        for row in read(services.store, services.book, within).rows:
            if row.request_id == request_id:
                return RowAnswer.model_validate(row.as_json())
        between = f"from {within.start.isoformat()} to {within.end.isoformat()}"
        raise HTTPException(404, f"no request {request_id[:128]!r} {between}")

    @app.get("/api/summary", tags=["totals"], summary="Totals, and how complete they are")
    def get_summary(wanted: Annotated[Filters, Depends(filters)]) -> SummaryAnswer:
        return SummaryAnswer.model_validate(summary(services.store, services.book, wanted))

    @app.get("/", include_in_schema=False)
    def dashboard() -> FileResponse:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html", media_type="text/html")

    @app.get("/page/{name}", include_in_schema=False)
    def asset(name: Literal["dashboard.css", "dashboard.js", "docs.js"]) -> FileResponse:
        return FileResponse(PAGE / name, media_type=_FILES[name])

    app.add_middleware(SafeHeaders)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        messages: dict[str, str] = {}
        for part in error.errors():
            messages.setdefault(str(part["loc"][min(1, len(part["loc"]) - 1)]), part["msg"])
        fields = [{"field": field, "message": message} for field, message in messages.items()]
        return _problem(422, "A parameter is not valid", "; ".join(map(": ".join, messages.items())), fields)

    @app.exception_handler(FieldError)
    async def contradiction(request: Request, error: FieldError) -> JSONResponse:
        fields = [{"field": error.field, "message": error.message}]
        return _problem(422, "A parameter is not valid", error.message, fields)

    @app.exception_handler(StoreError)
    async def unavailable(request: Request, error: StoreError) -> JSONResponse:
        return _problem(503, "The ledger's storage cannot be read", str(error), [])

    @app.exception_handler(StarletteHTTPException)
    async def status(request: Request, error: StarletteHTTPException) -> JSONResponse:
        answer = _problem(
            error.status_code, "Not found" if error.status_code == 404 else "Error", str(error.detail), []
        )
        answer.headers.update(error.headers or {})
        return answer

    return app


def _problem(status: int, title: str, detail: str, errors: list[dict[str, str]]) -> JSONResponse:
    """RFC 9457 problem details; `errors` name the fields."""
    members: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        members["errors"] = errors
    return JSONResponse(members, status, media_type="application/problem+json")


app = create_app(Services())


@cache
def _adapter() -> Mangum:
    # Mangum runs requests on the thread's current loop, and leans on Python to make one, which is deprecated.
    asyncio.set_event_loop(asyncio.new_event_loop())
    text = ["text/", "application/json", "application/problem+json"]
    return Mangum(app, lifespan="off", text_mime_types=text)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of a function URL or of API Gateway."""
    return _adapter()(event, context)
