"""CORS as a function URL does it: in the function's place, from the template's settings.

https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
"""

from collections.abc import Mapping

from ..sam.function import Cors


def cors_headers(cors: Cors, origin: str | None) -> list[tuple[str, str]]:
    """What an answer to `origin` carries; nothing if that origin is not allowed."""
    if origin is None or not _allows(cors, origin):
        return []
    headers = [
        ("access-control-allow-origin", "*" if "*" in cors.allow_origins else origin),
        ("vary", "Origin"),
    ]
    if cors.expose_headers:
        headers.append(("access-control-expose-headers", ",".join(cors.expose_headers)))
    if cors.allow_credentials:
        headers.append(("access-control-allow-credentials", "true"))
    return headers


def preflight(cors: Cors, request: Mapping[str, str]) -> list[tuple[str, str]]:
    """The answer to a preflight, which the function never sees; header names are lower case."""
    headers = cors_headers(cors, request.get("origin"))
    if not headers:
        return []
    headers += [
        ("access-control-allow-methods", ",".join(cors.allow_methods)),
        ("access-control-allow-headers", ",".join(cors.allow_headers)),
    ]
    if cors.max_age_s:
        headers.append(("access-control-max-age", str(cors.max_age_s)))
    return headers


def _allows(cors: Cors, origin: str) -> bool:
    return any(allowed in ("*", origin) for allowed in cors.allow_origins)
