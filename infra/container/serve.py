"""generate as a container's process: HTTP on $PORT, a health path, and no open door by accident.

On Lambda, IAM stands before the function. Here nobody does unless whoever runs the container says so:
WEIR_AUTHENTICATED_BY=platform (Cloud Run's IAM, a load balancer, a mesh) or, for a laptop, nobody. Without it the
process ends at once, since everybody who reaches the port could spend the provider's key.

SIGTERM lets streams that run end, for 20 seconds; both Cloud Run and ECS send it before they kill.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

HEALTH = "/health"
SAID = ("platform", "nobody")
GRACE_S = 20


class WithHealth:
    """`app`, and an answer of its own for the platform that asks whether the process lives. It leaves no fact."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != HEALTH:
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok\n"})


def refusal(environment: Mapping[str, str]) -> str | None:
    """Why the process may not start; None if it may."""
    said = environment.get("WEIR_AUTHENTICATED_BY", "")
    if said not in SAID:
        return (
            f"WEIR_AUTHENTICATED_BY: expected {' or '.join(SAID)}, got {said!r}: everybody who reaches this port could "
            "spend the provider's key. `platform` says that something before it lets only the right callers through"
        )
    port = environment.get("PORT", "")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return f"PORT: expected a port, got {port!r}"
    return None


def main(environment: Mapping[str, str]) -> int:
    """Serve until SIGTERM; 2 if the environment does not allow it."""
    if said := refusal(environment):
        print(said, file=sys.stderr)
        return 2
    import uvicorn
    from app import app  # type: ignore[import-not-found]  # functions/generate/app.py, beside this file in the image

    # One process: the loop serves many streams, and the platform adds containers.
    uvicorn.run(
        WithHealth(app),
        host=environment.get("HOST", "0.0.0.0"),
        port=int(environment["PORT"]),
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
