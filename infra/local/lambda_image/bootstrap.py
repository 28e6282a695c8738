"""The managed runtime's client for ordinary handlers: awslambdaric, with Lambda's import path."""

import os
import sys


def main() -> None:
    task = os.environ["LAMBDA_TASK_ROOT"]
    layers = ["/opt/python/lib/python3.13/site-packages", "/opt/python"]
    sys.path[:0] = [task, *layers, os.environ["LAMBDA_RUNTIME_DIR"]]

    from awslambdaric.__main__ import main as run  # found on the path above

    run([sys.argv[0], os.environ["_HANDLER"]])


main()
