"""A runtime of its own, the simplest that streams: blocking sockets, every byte on the wire as written here.

The event says what to do: `parts` are sent one at a time, a tick apart, or each when the test lets one through.
"""

import base64
import json
import os
import socket
import time
from typing import Any

HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
PRELUDE = "application/vnd.awslambda.http-integration-response"


class Connection:
    def __init__(self) -> None:
        self.socket = socket.create_connection((HOST, int(PORT)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers.get("content-length", 0)))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def respond(connection: Connection, request_id: str, event: dict[str, Any]) -> None:
    path = f"/2018-06-01/runtime/invocation/{request_id}/response"
    http = "requestContext" in event
    wanted = json.loads(event["body"]) if http else event
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        "Lambda-Runtime-Function-Response-Mode: streaming",
        f"Content-Type: {PRELUDE if http else 'application/octet-stream'}",
        "Transfer-Encoding: chunked",
        "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
    ]
    connection.send("\r\n".join([*head, "", ""]).encode())
    if http:
        prelude = {
            "statusCode": wanted.get("status", 200),
            "headers": {"content-type": "text/plain"},
            "cookies": ["c=1"],
        }
        connection.send(chunk(json.dumps(prelude).encode() + bytes(8)))
    gate = socket.create_connection(("127.0.0.1", wanted["gate"])) if "gate" in wanted else None
    for part in wanted["parts"]:
        if gate is not None:
            gate.recv(1)
        connection.send(chunk(part.encode()))
    if gate is not None:
        gate.close()
    if wanted.get("then") == "exit":
        os._exit(3)
    if wanted.get("then") == "sleep":
        time.sleep(60)
    if wanted.get("then") == "hang up":
        connection.socket.shutdown(socket.SHUT_RDWR)
        connection.__init__()  # type: ignore[misc]
        return
    trailers = b""
    if wanted.get("then") == "fail":
        body = base64.b64encode(
            json.dumps({"errorMessage": "in the middle", "errorType": "Own.Broke"}).encode()
        )
        trailers = (
            b"Lambda-Runtime-Function-Error-Type: Own.Broke\r\nLambda-Runtime-Function-Error-Body: %b\r\n"
            % body
        )
    connection.send(b"0\r\n%b\r\n" % trailers)
    connection.answer()


def main() -> None:
    connection = Connection()
    while True:
        connection.send(f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        _, headers, body = connection.answer()
        print(json.dumps({"got": headers["lambda-runtime-aws-request-id"]}), flush=True)
        respond(connection, headers["lambda-runtime-aws-request-id"], json.loads(body))


main()
