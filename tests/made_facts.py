"""Facts to measure with: a day's, in a file an hour, as many as are asked for.

Some thousand requests are made line by line; the others are copies of them under other ids and at other times.
"""

import json
from datetime import date
from pathlib import Path

from tests import log_lines as lines
from tests.fuzz.fast_join import stored, write_facts
from tests.made_requests import requests
from weir.ledger.duck import connect
from weir.ledger.log_records import RawRecord

DAY = date(2026, 11, 22)
_MADE = 10_000
_STREAMS = 5_000


def made_records(count: int) -> list[RawRecord]:
    """The records of `count` requests of a day."""
    return [record for record, _ in _made(count)]


def made_facts(folder: Path, count: int) -> list[Path]:
    """Files of facts, one an hour, of `count` requests that are spread over a day."""
    made = min(count, _MADE)
    source = write_facts(folder / "made.parquet", [stored(record, line) for record, line in _made(made)])
    copies = -(-count // made)
    files = []
    with connect(threads=1, spill=folder) as connection:
        connection.execute(
            f"CREATE TABLE made AS SELECT *, dense_rank() OVER (ORDER BY hash) - 1 AS number FROM '{source}'"
        )
        for hour in range(24):
            files.append(folder / f"hour-{hour:02d}.parquet")
            connection.execute(
                f"""
                COPY (
                    WITH copied AS (
                        SELECT *, copies.number AS copy, copies.number * {made} + made.number AS place,
                            substr(request_id, 1, 24) || lpad(CAST(copies.number AS VARCHAR), 8, '0') AS new_id
                        FROM made, range({copies}) AS copies(number)
                        WHERE (copies.number * {made} + made.number) * 24 // {count} = {hour}
                    )
                    SELECT CAST('0x' || substr(sha256(new_id), 1, 16) AS UBIGINT) AS hash, event_id || copy AS event_id,
                        new_id AS request_id, kind,
                        CAST(TIMESTAMP '{DAY}' + to_milliseconds(place * 86399000 // {count} + place % 1000) AS TIMESTAMP_MS)
                            AS "at",
                        log_group, log_stream, region, bytes, replace(body, request_id, new_id) AS body
                    FROM copied
                    ORDER BY hash NULLS FIRST, "at", event_id
                ) TO '{files[-1]}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 8192)
                """
            )
    source.unlink()
    return files


def _made(count: int) -> list[tuple[RawRecord, str]]:
    found = []
    for number, written in enumerate(requests(count), 1):
        at_ms = lines.NOON_MS - 43_200_000 + 86_399_000 * number // count
        events = [
            lines.log_event(
                json.dumps(line, separators=(",", ":")), f"{number:036d}{place:020d}", at_ms + place
            )
            for place, line in enumerate(written)
        ]
        batch = lines.read_batch(
            lines.batch(events, log_stream=f"{number % _STREAMS:032x}"), region="us-east-1"
        )
        messages = {event["id"]: event["message"] for event in events}
        found += [(record, messages[record.event_id]) for record in batch.records]
    return found
