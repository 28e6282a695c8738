"""Who may speak to an endpoint on this laptop: its own pages and programs, and no page of another site.

A page anywhere in a browser can send requests to 127.0.0.1, and a name that its owner points here (DNS rebinding)
makes it a page of "this" host. What a page cannot choose are the headers Host, Origin and Sec-Fetch-Site, so they
decide. https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_OUR_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


def refusal(headers: Mapping[str, str], allowed_origins: Iterable[str] = ()) -> str | None:
    """Why a request is not answered, or None; `headers` by lower-case name.

    `allowed_origins` are those that may call from pages of their own; `*` is any.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if _name(host) not in _OUR_HOSTS:
        return f"host: expected 127.0.0.1 or localhost, got {host[:100]!r}: another name may be anybody's"
    if origin is not None:
        allowed = set(allowed_origins)
        if urlsplit(origin).netloc != host and not {"*", origin} & allowed:
            expected = ", ".join(sorted(allowed)) or "a page of this host"
            return f"origin: expected {expected}, got {origin[:100]!r}; CORS_ORIGINS lets a page in"
    elif headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        return "sec-fetch-site: expected a request of a page of this host, got one of another site's"
    return None


class OwnPages:
    """ASGI middleware: 403 for what `refusal` refuses."""

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str] = ()) -> None:
        self._app = app
        self._allowed_origins = tuple(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        reason = refusal(headers, self._allowed_origins)
        if reason is None:
            return await self._app(scope, receive, send)
        body = reason.encode()
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 403, "headers": fields})
        await send({"type": "http.response.body", "body": body})


def own_pages_wsgi(app: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a WSGI application, whose own CORS headers are taken off as well: moto lets every page in."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        headers = {
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if (reason := refusal(headers)) is not None:
            start_response("403 Forbidden", [("content-type", "text/plain; charset=utf-8")])
            return [reason.encode()]

        def without_cors(status: str, fields: list[tuple[str, str]], *more: Any) -> Any:
            kept = [field for field in fields if not field[0].lower().startswith("access-control-")]
            return start_response(status, kept, *more)

        return app(environ, without_cors)

    return guarded


def _name(host: str) -> str:
    """A Host without its port; an IPv6 address stands in brackets."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host
