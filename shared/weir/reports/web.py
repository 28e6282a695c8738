"""What every answer of a web door of ours has: safe headers, and errors as problem details (RFC 9457).

Everything that a page needs is served from the page's own host, under a content security policy without inline script,
inline style and other hosts.
"""

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_TITLES = {403: "Forbidden", 404: "Not found"}


class SafeHeaders:
    """ASGI middleware that gives every answer the headers above; only files under `files` may be kept, and then only
    after asking whether they are still the same."""

    def __init__(self, app: ASGIApp, files: str) -> None:
        self.app = app
        self.files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kept = scope["type"] == "http" and scope["path"].startswith(self.files)
        headers = {**_HEADERS, "cache-control": "no-cache" if kept else "no-store"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class PageFiles(StaticFiles):
    """Files that are the same as long as their content is.

    Starlette tells them apart by date and size; but SAM's zip gives all files one date, so a browser would keep a
    script of the version before if the new one is as long.
    """

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """The file, or 304 to whoever has it."""
        etag = f'"{sha256(Path(full_path).read_bytes()).hexdigest()}"'
        response = FileResponse(full_path, status_code, {"etag": etag}, stat_result=stat_result)
        known = Headers(scope=scope)
        if "if-none-match" in known and self.is_not_modified(response.headers, known):
            return NotModifiedResponse(response.headers)
        return response


def refuse_other_sites(request: Request) -> None:
    """Raise HTTPException (403) unless the request is of this site's page, or of no browser at all.

    Sec-Fetch-Site cannot be set by a script; a browser too old for it still sends Origin with a POST. And no form can
    send application/json, which is all that FastAPI reads, without asking first, which nobody here answers.
    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin", "none"):
        raise HTTPException(403, f"expected a request of this site's own page, got one of a {site} page")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, f"expected a request of this site's own page, got one of {origin[:200]}")


def invalid(fields: dict[str, str]) -> JSONResponse:
    """The answer (422) to parameters that are not valid: what is wrong, by field."""
    errors = [{"field": field, "message": message} for field, message in fields.items()]
    detail = "; ".join(f"{field}: {message}" for field, message in fields.items())
    return _problem(422, "A parameter is not valid", detail, errors=errors)


def answer_errors(app: FastAPI, unavailable: Iterable[type[Exception]]) -> None:
    """Answer what FastAPI and the routes raise as problem details; the `unavailable` are 503."""

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
        fields: dict[str, str] = {}
        for part in error.errors():
            # A body that is no JSON is wrong at a position, which is no field.
            named = len(part["loc"]) > 1 and part["type"] != "json_invalid"
            fields.setdefault(str(part["loc"][named]), part["msg"])
        return invalid(fields)

    @app.exception_handler(StarletteHTTPException)
    async def status(request: Request, error: StarletteHTTPException) -> JSONResponse:
        answer = _problem(error.status_code, _TITLES.get(error.status_code, "Error"), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    async def cannot(request: Request, error: Exception) -> JSONResponse:
        return _problem(503, "The ledger cannot be read", str(error))

    for kind in unavailable:
        app.add_exception_handler(kind, cannot)


def _problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(members, status, media_type="application/problem+json")
