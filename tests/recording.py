"""An AWS endpoint that passes requests on and writes down which permission each of them takes.

The action's name is read off the wire, by the protocol of the service: a target header, a path, or S3's REST forms.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.local.endpoints.http_server import HttpServer

_SCOPE = re.compile(r"Credential=[^/]+/\d+/[\w-]+/([\w-]+)/aws4_request")
_TARGET = re.compile(r"[\w.]+\.(\w+)")
_RPC = re.compile(r"/service/\w+/operation/(\w+)")
# Where IAM's name of a service is not the one that requests are signed for.
_PREFIXES = {"monitoring": "cloudwatch"}
# Of one connection; the length is written anew.
_NOT_PASSED_ON = {"host", "connection", "content-length", "transfer-encoding", "expect", "content-encoding"}


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """An action, and for S3 the key that it touched (empty for the bucket itself)."""

    action: str
    key: str = ""


@dataclass(slots=True)
class Recorder:
    """Listens for one function; `endpoints` are the real ones, by service, and "" is the one for all others."""

    endpoints: Mapping[str, str]
    seen: set[Permission] = field(default_factory=set)
    server: HttpServer = field(init=False)
    client: httpx.AsyncClient = field(init=False)

    def start(self) -> None:
        """Listen; `server.url` says where."""
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
        self.server = HttpServer(Starlette(routes=[Route("/{path:path}", self._pass_on, methods=methods)]))
        self.client = httpx.AsyncClient(timeout=60)
        self.server.start()

    async def close(self) -> None:
        """Listen no more."""
        await self.server.close()
        await self.client.aclose()

    async def _pass_on(self, request: Request) -> Response:
        found = _SCOPE.search(request.headers.get("authorization", ""))
        service = found[1] if found else "s3"
        self.seen |= permissions(service, request)
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        query = request.scope["query_string"].decode("latin-1")
        target = self.endpoints.get(service, self.endpoints[""])
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        answer = await self.client.request(
            request.method,
            f"{target}{path}{f'?{query}' if query else ''}",
            content=await request.body(),
            headers=headers,
        )
        kept = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        if request.method == "HEAD":
            kept["content-length"] = answer.headers.get("content-length", "0")
        return Response(answer.content, answer.status_code, kept)


def permissions(service: str, request: Request) -> set[Permission]:
    """What a request needs. Raises ValueError for a form that is not known here."""
    service = _PREFIXES.get(service, service)
    if service == "s3":
        return _of_s3(request)
    if target := _TARGET.fullmatch(request.headers.get("x-amz-target", "")):
        return {Permission(f"{service}:{target[1]}")}
    if operation := _RPC.fullmatch(request.url.path):
        return {Permission(f"{service}:{operation[1]}")}
    if service == "lambda" and request.method == "POST" and request.url.path.endswith("/invocations"):
        return {Permission("lambda:InvokeFunction")}
    raise ValueError(
        f"expected a request whose action is known, got {service} {request.method} {request.url.path}"
    )


def _of_s3(request: Request) -> set[Permission]:
    _, _, key = request.url.path.lstrip("/").partition("/")
    if not key:
        if request.method in ("GET", "HEAD"):
            return {Permission("s3:ListBucket")}
        raise ValueError(f"expected a listing, got {request.method} of a bucket")
    action = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject",
              "DELETE": "s3:DeleteObject"}[request.method]  # fmt: skip
    if request.method == "DELETE" and "uploadId" in request.query_params:
        action = "s3:AbortMultipartUpload"
    found = {Permission(action, unquote(key))}
    if source := request.headers.get("x-amz-copy-source"):
        found.add(Permission("s3:GetObject", unquote(source).lstrip("/").partition("/")[2]))
    return found
