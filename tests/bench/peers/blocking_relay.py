"""The least that can stand between a provider and the Runtime API: one thread, two blocking sockets, no parsing.

Polls the Runtime API, asks the provider, and sends each piece that it reads on as one chunk at once. It looks at
nothing but the end of the headers and of the body, and keeps both connections.
"""

import os
import socket
import ssl
from urllib.parse import urlsplit

RESPONSE = (
    "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Content-Type: application/vnd.awslambda.http-integration-response\r\nTransfer-Encoding: chunked\r\n\r\n"
)
PRELUDE = b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}' + bytes(8)
LAST_CHUNK = b"0\r\n\r\n"
PAYLOAD = b'{"model":"test-model","messages":[{"role":"user","content":"x"}],"stream":true}'


def connect(address: str) -> socket.socket:
    """A TCP connection that sends at once."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The headers, and what came after them."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def relay(front: socket.socket, back: socket.socket, runtime_api: str, provider: str) -> None:
    """Serve one invocation; with TLS the first one shakes hands."""
    front.sendall(f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {runtime_api}\r\n\r\n".encode())
    head, event = read_head(front)
    fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
    while len(event) < int(fields["content-length"]):
        event += front.recv(65_536)
    back.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {provider}\r\nContent-Length: {len(PAYLOAD)}\r\n\r\n".encode()
        + PAYLOAD
    )
    front.sendall((RESPONSE % (fields["lambda-runtime-aws-request-id"], runtime_api)).encode())
    _, data = read_head(back)
    front.sendall(b"%x\r\n%b\r\n" % (len(PRELUDE), PRELUDE))
    while data or (data := back.recv(65_536)):
        front.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        if data.endswith(LAST_CHUNK):
            break
        data = b""
    front.sendall(LAST_CHUNK)
    _, rest = read_head(front)
    while not rest:
        rest = front.recv(65_536)


def main() -> None:
    """Serve invocations until killed."""
    url = urlsplit(os.environ["WEIR_UPSTREAM_BASE_URL"])
    tls = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"]) if url.scheme == "https" else None
    front, back = connect(os.environ["AWS_LAMBDA_RUNTIME_API"]), connect(url.netloc)
    if tls is not None:
        back = tls.wrap_socket(back, server_hostname=url.hostname, do_handshake_on_connect=False)
    while True:
        relay(front, back, os.environ["AWS_LAMBDA_RUNTIME_API"], url.netloc)


if __name__ == "__main__":
    main()
