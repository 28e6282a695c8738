"""A server that checks SigV4 by AWS's own description, with hmac and nothing of botocore's, and echoes what it got.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([\w-]+)/(\w+)/aws4_request, ?SignedHeaders=([\w;-]+), ?"
    r"Signature=([0-9a-f]{64})"
)


def canonical_query(query: str) -> str:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = [
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")) for name, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def expected_signature(
    secret: str,
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes,
    scope: tuple[str, str, str],
    signed: str,
) -> str:
    """The signature that AWS would compute for this request; `scope` is date, region and service."""
    path, _, query = target.partition("?")
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed.split(";"))
    # Every service but S3 encodes the path, which is encoded already, once more.
    canonical = "\n".join((
        method, quote(path, safe="/-_.~"), canonical_query(query), lines, signed, hashlib.sha256(body).hexdigest()
    ))  # fmt: skip
    text = "\n".join((
        "AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join((*scope, "aws4_request")),
        hashlib.sha256(canonical.encode()).hexdigest(),
    ))  # fmt: skip
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


class VerifyingServer(ThreadingHTTPServer):
    """Function URL and IAM in one: 403 for a signature that is not right for `secrets`, else an echo as JSON."""

    def __init__(self, secrets: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secrets = secrets  # access key id: secret key
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.release = threading.Event()  # what /stream waits for in its middle
        self.seen: list[dict[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: VerifyingServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.seen.append(headers)
        found = AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        secret = self.server.secrets.get(found[1]) if found else None
        right = found and secret and hmac.compare_digest(
            found[6], expected_signature(secret, self.command, self.path, headers, body, (found[2], found[3], found[4]), found[5])
        )  # fmt: skip
        if not right or "host" not in found[5].split(";"):
            return self._send(403, b'{"Message":"Forbidden"}')
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n")
            self.server.release.wait(30)
            self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")
            return None
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("location", "https://elsewhere.example/")
            self.send_header("content-length", "0")
            return self.end_headers()
        echo = {"method": self.command, "target": self.path, "headers": headers, "body": body.decode("latin-1"),
                "region": found[3], "service": found[4], "key": found[1]}  # fmt: skip
        return self._send(200, json.dumps(echo).encode())

    do_GET = do_POST = do_DELETE = _answer

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def verifying(secrets: dict[str, str]) -> Iterator[VerifyingServer]:
    server = VerifyingServer(secrets)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
