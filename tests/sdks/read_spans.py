"""A stock reader of OTLP: the lines on standard input as OpenTelemetry's own messages have them, and the published names."""

import base64
import json
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from google.protobuf.json_format import MessageToDict, Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def binary(value: Any) -> Any:
    """OTLP writes ids in hexadecimal, where protobuf's JSON would have base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(member)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else binary(member)
            for key, member in value.items()
        }
    return [binary(member) for member in value] if isinstance(value, list) else value


def published() -> list[str]:
    """Every attribute of the semantic conventions, stable and in development."""
    names: list[str] = []
    for package in ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes"):
        for module in iter_modules(import_module(package).__path__):
            members = vars(import_module(f"{package}.{module.name}"))
            names += [value for key, value in members.items() if key.isupper() and isinstance(value, str)]
    return names


# An unknown member is an error here.
read = [
    MessageToDict(Parse(json.dumps(binary(json.loads(line))), ExportTraceServiceRequest()))
    for line in sys.stdin
]
print(json.dumps({"read": read, "published": published()}))
