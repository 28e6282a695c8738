"""Each recorded stream of each protocol, cut at every byte, at seven and not at all: one reading, whatever the cut.

What is read must be what the provider's own SDK reads: tests/functional/test_recorded_streams.py asks them.
"""

import pytest

from tests.recordings import DECODERS, Recording, read, recordings


@pytest.mark.parametrize("api", list(DECODERS))
def test_a_recording_reads_the_same_at_any_cut(api: str) -> None:
    for recording in recordings(api):
        whole = read(api, recording.body)
        assert read(api, recording.body, 7) == whole, recording.name
        if len(recording.body) < 20_000:
            assert read(api, recording.body, 1) == whole, recording.name


@pytest.mark.parametrize("api", list(DECODERS))
def test_a_recording_says_all_or_says_what_is_wrong(api: str) -> None:
    for recording in recordings(api):
        reading = read(api, recording.body)
        assert reading.complete != bool(reading.failures), recording.name
        if reading.usage is not None:
            assert reading.usage.complete, recording.name


def test_a_recording_that_is_cut_off_is_never_whole() -> None:
    """At each event but the last: a body that breaks off before its end is known to have."""
    for api in DECODERS:
        for recording in recordings(api)[:6]:
            _cut_off(api, recording)


def _cut_off(api: str, recording: Recording) -> None:
    half = recording.body[: len(recording.body) // 2]
    reading = read(api, half)
    assert not reading.complete, recording.name
    assert reading.usage is None or not reading.usage.complete, recording.name
