"""An AWS endpoint that passes requests on and writes down which permission each of them takes, on what.

The action's name is read off the wire, by the protocol of the service: a target header, a path, or S3's REST forms;
the resource off the body or the path.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.local.endpoints.http_server import HttpServer
from infra.local.sam.function import ACCOUNT_ID

ACCOUNT = f"us-east-1:{ACCOUNT_ID}"
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[\w-]+/([\w-]+)/aws4_request")
_TARGET = re.compile(r"[\w.]+\.(\w+)")
_RPC = re.compile(r"/service/\w+/operation/(\w+)")
_INVOCATIONS = re.compile(r"/[\d-]+/functions/([^/]+)/invocations")
_MODEL = re.compile(r"/model/([^/]+)/converse-stream")
_BEARER = "Bearer bedrock-api-key-"
# Across Regions: the profile's name is a group of Regions and the model.
_PROFILE = re.compile(r"(us|eu|apac|global)\.(.+)")
# Where IAM's name of a service is not the one that requests are signed for.
_PREFIXES = {"monitoring": "cloudwatch"}
# The resource of a request with a target header: an ARN's end, and the body's members in it; empty where actions know
# no resources.
_RESOURCES = {
    "athena": "workgroup/{WorkGroup}",
    "cloudwatch": "",
    "dynamodb": "table/{TableName}",
    "logs": "log-group:{logGroupName}:log-stream:",
    "secretsmanager": "secret:{SecretId}-a1B2c3",  # Secrets Manager adds six characters of its own
    "ssm": "parameter{Name}",
}
_LISTED = re.compile(rb"<Size>\d+</Size>")
# Of one connection; the length is written anew.
_NOT_PASSED_ON = {"host", "connection", "content-length", "transfer-encoding", "expect", "content-encoding"}


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """An action, and the ARN that it was done to: `*` where the action knows none."""

    action: str
    resource: str


@dataclass(slots=True)
class Recorder:
    """Listens for one function; `endpoints` are the real ones, by service, and "" is the one for all others.

    With `listed_bytes` every object in S3's listings is said to be that large: a day of much is not made for it.
    """

    endpoints: Mapping[str, str]
    listed_bytes: int | None = None
    seen: set[Permission] = field(default_factory=set)
    server: HttpServer = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    workgroups: dict[str, str] = field(default_factory=dict)  # of the queries that were started

    def start(self) -> None:
        """Listen; `server.url` says where."""
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
        self.server = HttpServer(Starlette(routes=[Route("/{path:path}", self._pass_on, methods=methods)]))
        self.client = httpx.AsyncClient(timeout=60, verify=False)  # no TLS here, and no certificates to load
        self.server.start()

    async def close(self) -> None:
        """Listen no more."""
        await self.server.close()
        await self.client.aclose()

    async def _pass_on(self, request: Request) -> Response:
        service, body = service_of(request), await request.body()
        members = _json(body) if service != "s3" else {}
        if query_id := members.get("QueryExecutionId"):
            members["WorkGroup"] = self.workgroups[query_id]
        self.seen |= set(permissions(service, request, members))
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        query = request.scope["query_string"].decode("latin-1")
        target = self.endpoints.get(service, self.endpoints[""])
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        answer = await self.client.request(
            request.method, f"{target}{path}{f'?{query}' if query else ''}", content=body, headers=headers
        )
        content = answer.content
        if service == "athena" and (started := _json(content).get("QueryExecutionId")):
            self.workgroups[started] = members["WorkGroup"]
        if service == "s3" and self.listed_bytes is not None:
            content = _LISTED.sub(b"<Size>%d</Size>" % self.listed_bytes, content)
        kept = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        if request.method == "HEAD":
            kept["content-length"] = answer.headers.get("content-length", "0")
        return Response(content, answer.status_code, kept)


def service_of(request: Request) -> str:
    """The service that a request was signed for; S3 for one that is not, a link."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith(_BEARER):
        return "bedrock"
    found = _SCOPE.search(authorization)
    return found[1] if found else "s3"


def permissions(service: str, request: Request, members: Mapping[str, Any]) -> Iterator[Permission]:
    """What a request needs; `members` are its body's. Raises ValueError for a form that is not known here."""
    service = _PREFIXES.get(service, service)
    if service == "s3":
        yield from _of_s3(request)
    elif service == "bedrock":
        yield from _of_bedrock(request, members)
    elif target := _TARGET.fullmatch(request.headers.get("x-amz-target", "")):
        form = _RESOURCES[service]
        # What asks of many items at once names its tables by the members of one.
        for each in [{"TableName": name} for name in members.get("RequestItems", ())] or [members]:
            resource = f"arn:aws:{service}:{ACCOUNT}:{form.format_map(each)}" if form else "*"
            yield Permission(f"{service}:{target[1]}", resource)
    elif operation := _RPC.fullmatch(request.url.path):
        yield Permission(f"{service}:{operation[1]}", "*")
    elif service == "lambda" and (invoked := _INVOCATIONS.fullmatch(request.url.path)):
        yield Permission("lambda:InvokeFunction", f"arn:aws:lambda:{ACCOUNT}:function:{invoked[1]}")
    else:
        raise ValueError(
            f"expected a request whose action is known, got {service} {request.method} {request.url.path}"
        )


def _of_s3(request: Request) -> Iterator[Permission]:
    bucket, _, key = unquote(request.url.path).lstrip("/").partition("/")
    if not key:
        if request.method not in ("GET", "HEAD"):
            raise ValueError(f"expected a listing, got {request.method} of a bucket")
        yield Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}")
        return
    action = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "POST": "s3:PutObject",
              "DELETE": "s3:DeleteObject"}[request.method]  # fmt: skip
    if request.method == "DELETE" and "uploadId" in request.query_params:
        action = "s3:AbortMultipartUpload"
    yield Permission(action, f"arn:aws:s3:::{bucket}/{key}")
    if source := request.headers.get("x-amz-copy-source"):
        yield Permission("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}")


def _of_bedrock(request: Request, members: Mapping[str, Any]) -> Iterator[Permission]:
    # https://docs.aws.amazon.com/bedrock/latest/userguide/inference-prereq.html
    authorization = request.headers["authorization"]
    if authorization.startswith(_BEARER):
        signed = base64.b64decode(authorization.removeprefix(_BEARER)).decode()
        yield Permission(f"bedrock:{re.findall(r'[?&]Action=(\w+)', signed)[0]}", "*")
    path = request.scope["raw_path"].decode("latin-1")
    if converse := _MODEL.fullmatch(path):
        actions, model = ["InvokeModelWithResponseStream"], unquote(converse[1])
    elif path.startswith("/openai/v1/"):
        # That page does not say which of the two a streamed chat completion takes.
        actions, model = ["InvokeModel", "InvokeModelWithResponseStream"], members["model"]
    else:
        raise ValueError(f"expected a streamed conversation or one of OpenAI's paths, got {path}")
    for action in actions:
        for resource in _models(model):
            yield Permission(f"bedrock:{action}", resource)


def _models(model: str) -> Iterator[str]:
    """What has to be allowed for a model: it, or a profile and the model that it leads to."""
    if model.startswith("arn:"):
        yield model
        return
    if profile := _PROFILE.fullmatch(model):
        yield f"arn:aws:bedrock:{ACCOUNT}:inference-profile/{model}"
        model = profile[2]
    yield f"arn:aws:bedrock:us-east-1::foundation-model/{model}"


def _json(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; none of what is no JSON, as CloudWatch's CBOR."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
