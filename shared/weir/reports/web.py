"""What every response of the finance API has: safe headers, and errors as problem details (RFC 9457).

Everything that a page needs is served from the page's own host, under a content security policy without inline script,
inline style and other hosts.
"""

import os
from collections.abc import Collection, Mapping
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

from weir.errors import CallerError, WeirError
from weir.reports.params import nearest

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_TITLES = {403: "Forbidden", 404: "Not found"}
_MAX_ERRORS = 20


class SafeHeaders:
    """ASGI middleware that gives every response the headers above; only files under `files` may be kept, and then only
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
    send application/json, which is all that FastAPI reads, without asking first, which nobody here allows.
    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin", "none"):
        raise HTTPException(403, f"expected a request of this site's own page, got one of a {site} page")
    if site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, f"expected a request of this site's own page, got one of {origin[:200]}")


def not_valid(errors: Mapping[str, str]) -> JSONResponse:
    """The response (422) to what is not valid: what is wrong with it, by JSON Pointer into the query or the body."""
    listed = [{"pointer": pointer, "detail": detail} for pointer, detail in errors.items()]
    detail = "; ".join(f"{pointer.removeprefix('/') or 'body'}: {text}" for pointer, text in errors.items())
    return _problem(422, "A parameter is not valid", detail, errors=listed)


def pointer_to(*path: object) -> str:
    """A JSON Pointer. https://www.rfc-editor.org/rfc/rfc6901"""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')[:64]}" for part in path)


def handle_errors(app: FastAPI, members: Collection[str]) -> None:
    """Turn what FastAPI and the routes raise into problem details: the caller's are 400, whatever else is ours 503.

    `members` are those of a body.
    """

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors: dict[str, str] = {}
        for part in error.errors()[:_MAX_ERRORS]:
            # Without query, path or body; what is no JSON is wrong at a position, which is no member.
            path = list(part["loc"][1:]) if part["type"] != "json_invalid" else []
            mistyped = path and part["type"] == "extra_forbidden"
            text = f"expected {nearest(str(path[-1]), members)}" if mistyped else part["msg"]
            errors.setdefault(pointer_to(*path), text)
        return not_valid(errors)

    @app.exception_handler(CallerError)
    async def caller(request: Request, error: CallerError) -> JSONResponse:
        return _problem(400, "It cannot be done as it was asked", str(error))

    @app.exception_handler(WeirError)
    async def unavailable(request: Request, error: WeirError) -> JSONResponse:
        return _problem(503, "The ledger cannot be read", str(error))

    @app.exception_handler(StarletteHTTPException)
    async def status(request: Request, error: StarletteHTTPException) -> JSONResponse:
        response = _problem(error.status_code, _TITLES.get(error.status_code, "Error"), str(error.detail))
        response.headers.update(error.headers or {})
        return response


def _problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(members, status, media_type="application/problem+json")
