"""Decoders: CPU per event of each protocol's decoder, beside the provider's own SDK on the same recorded bytes.

Both are given the recorded bodies whole, in one process and in turns; the SDKs read them as their streaming clients
do, without a socket. An event is what the recording has, whatever a reader makes of it. Reading takes no IO, so the
process's CPU time is what counts; the least of the rounds is taken, and bounds are ratios of these.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tests.bench.tables import Bound, Table
from tests.functional.sdks import ORACLES, botocore_events
from tests.recordings import DECODERS, recordings
from weir.providers.event_stream import EventStreamDecoder
from weir.providers.sigv4 import Credentials, sign

ROUNDS = 5
BODIES = 12  # of each protocol, the longest: what a call costs beside its events then weighs little
SSE_BOUND, EVENT_STREAM_BOUND, SIGN_BOUND_US = 0.2, 0.6, 50.0
SIGNATURES = 2_000
_NAMES = {
    "chat.completions": ("openai", SSE_BOUND), "responses": ("openai", SSE_BOUND), "messages": ("anthropic", SSE_BOUND),
    "gemini": ("google-genai", SSE_BOUND), "bedrock.converse": ("botocore", EVENT_STREAM_BOUND),
}  # fmt: skip


def run() -> list[Table]:
    """A row for each protocol, and one for a signature."""
    if not os.environ.get("CORPORA"):
        return [
            Table(
                "CPU per event",
                [],
                [],
                notes=["CORPORA is not set: the recorded streams (README, 'Corpora') are missing"],
            )
        ]
    rows, bounds = [], []
    for api, (sdk, limit) in _NAMES.items():
        bodies = sorted((recording.body for recording in recordings(api)), key=len)[-BODIES:]
        events = sum(map(_events_of(api), bodies))
        theirs_us, ours_us = _least(
            [lambda b=bodies, a=api: _theirs(a, b), lambda b=bodies, a=api: _ours(a, b)]
        )  # type: ignore[misc]
        per_event = [took / events for took in (ours_us, theirs_us)]
        rows.append([api, sdk, events, round(per_event[0], 1), round(per_event[1], 1)])
        bounds.append(Bound(f"{api}: CPU per event against {sdk}", per_event[0] / per_event[1], limit))
    signing_us = _least([_sign])[0] / SIGNATURES
    return [
        Table("CPU per event, µs", ["protocol", "SDK", "events", "weir", "SDK's"], rows, bounds),
        Table("Signature of a request of 4 KB, µs", ["", "µs"], [["own SigV4", round(signing_us, 1)]],
              [Bound("SigV4 of 4 KB", signing_us, SIGN_BOUND_US, "µs")]),
    ]  # fmt: skip


def _least(readers: list[Callable[[], object]]) -> list[float]:
    """The least CPU time of each over the rounds, in microseconds; they take turns."""
    least = [float("inf")] * len(readers)
    for reader in readers:
        reader()  # imports, caches
    for _ in range(ROUNDS):
        for index, reader in enumerate(readers):
            began = time.process_time_ns()
            reader()
            least[index] = min(least[index], (time.process_time_ns() - began) / 1_000)
    return least


def _ours(api: str, bodies: list[bytes]) -> None:
    for body in bodies:
        decoder = DECODERS[api]()
        decoder.feed(body)
        decoder.close()


def _theirs(api: str, bodies: list[bytes]) -> None:
    for body in bodies:
        if api == "bedrock.converse":
            for _ in botocore_events("ConverseStream", body):
                pass
        else:
            ORACLES[api](body)


def _events_of(api: str) -> Callable[[bytes], int]:
    if api == "bedrock.converse":
        return lambda body: len(EventStreamDecoder().feed(body))
    return lambda body: body.count(b"\ndata:") + body.startswith(b"data:")


def _sign() -> None:
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "t" * 700)
    at, body = datetime(2026, 11, 28, tzinfo=UTC), b"x" * 4_096
    headers = {"content-type": "application/json", "accept": "application/vnd.amazon.eventstream"}
    for _ in range(SIGNATURES):
        sign(
            "POST", "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream", headers, body,
            credentials=credentials, region="us-east-1", service="bedrock", at=at,
        )  # fmt: skip
