"""The floor of forwarding: what a runtime cannot do without, in one thread with one blocking socket.

Of the tasks that Lambda lists for a custom runtime (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html)
it does those of a request that goes well: get the event, propagate the tracing header, create a context from headers
and environment, answer: with a prelude made for it and framed chunks like those of forwarding_app. There is no event
loop, no application interface, no watch over the deadline and nothing for errors.
"""

import json
import os
import time
from types import SimpleNamespace

from tests.bench.peers.blocking_relay import RESPONSE, connect, read_head
from tests.bench.peers.forwarding_app import PADDING


def serve(runtime_api: str) -> None:
    """Serve invocations until the Runtime API hangs up."""
    connection = connect(runtime_api)
    poll = f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {runtime_api}\r\n\r\n".encode()
    while True:
        connection.sendall(poll)
        head, body = read_head(connection)
        fields: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        while len(body) < int(fields["content-length"]):
            body += connection.recv(65_536)
        event = json.loads(body)
        os.environ["_X_AMZN_TRACE_ID"] = fields["lambda-runtime-trace-id"]
        context = SimpleNamespace(
            aws_request_id=fields["lambda-runtime-aws-request-id"],
            deadline_ms=int(fields["lambda-runtime-deadline-ms"]),
            invoked_function_arn=fields["lambda-runtime-invoked-function-arn"],
            function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
            memory_limit_in_mb=os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        )
        count, pause_s = event["body"].split()
        pause_s = float(pause_s)
        prelude = json.dumps({"statusCode": 200, "headers": {}}).encode() + bytes(8)
        response = (RESPONSE % (context.aws_request_id, runtime_api)).encode()
        connection.sendall(response + b"%x\r\n%b\r\n" % (len(prelude), prelude))
        for _ in range(int(count)):
            if pause_s:
                time.sleep(pause_s)
            data = b"%020d" % time.monotonic_ns() + PADDING
            connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        connection.sendall(b"0\r\n\r\n")
        read_head(connection)


if __name__ == "__main__":
    serve(os.environ["AWS_LAMBDA_RUNTIME_API"])
