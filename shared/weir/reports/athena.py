"""Athena as an engine: a statement is started, polled, and read with the types that Athena says its columns have.

A question is recognised by its text, its values and the state of the stored rows: asked again, by this process or by
another, it is not another query but the same one (`ClientRequestToken`). So whoever was told to wait simply asks again.
Athena's own reuse of results is left alone: it looks at the text and not at the rows, and would answer a new state with
what an old one had. How many bytes a statement may scan is the workgroup's business; where that stops one, the error
says so.
https://docs.aws.amazon.com/athena/latest/APIReference/API_StartQueryExecution.html
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from weir.errors import StorageError
from weir.ledger.metering import Used, athena_bytes
from weir.ledger.sql import text_literal
from weir.reports.statements import Query

_POLL_S = 0.2
_MAX_KEPT = 512  # executions whose ids are remembered
_READERS: dict[str, Callable[[str], Any]] = {
    "boolean": lambda text: text == "true",
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("real", "float", "double"), float),
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    **dict.fromkeys(("char", "varchar", "string", "unknown"), str),
}

type _Result = tuple[list[str], list[tuple[Any, ...]]]  # names of columns, rows


class AthenaError(StorageError):
    """Athena did not answer; says what Athena gave as the reason."""


class AthenaRunning(StorageError):
    """Not all statements are done: ask the same again in `retry_after_s`."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Athena is still at it; ask again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class AthenaEngine:
    """Statements over the table `ledger` of one database, in one workgroup, which says where results go.

    `state` names the stored rows that are asked about: as long as it is the same, so are the answers. Within one call
    at most `wait_s` are spent waiting. What Athena bills is counted in `used`.
    """

    name = "athena"

    def __init__(
        self,
        workgroup: str,
        database: str,
        state: str = "",
        *,
        wait_s: float = 4.0,
        client: Any = None,
        used: Used | None = None,
    ) -> None:
        self._workgroup = workgroup
        self._database = database
        self._state = state
        self._wait_s = wait_s
        self._client = client
        self.used = Used() if used is None else used
        self._executions: OrderedDict[str, str] = OrderedDict()
        self._given_up: OrderedDict[str, str] = OrderedDict()
        self._counted: OrderedDict[str, str] = OrderedDict()  # statements whose bytes are in `used`

    def at(self, state: str) -> "AthenaEngine":
        """The same engine over the rows as `state` names them; what was started already is known to both."""
        other = AthenaEngine(
            self._workgroup, self._database, state, wait_s=self._wait_s, client=self._boto(), used=self.used
        )
        other._executions, other._given_up = self._executions, self._given_up
        other._counted = self._counted
        return other

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement. Raises AthenaRunning, AthenaError."""
        [(_, rows)] = self._results([(sql, tuple(map(literal, parameters)))])
        return rows

    def rows(self, queries: Sequence[Query]) -> list[list[dict[str, Any]]]:
        """The rows of several statements, which run at the same time. Raises AthenaRunning, AthenaError."""
        found = self._results([(query.text, tuple(map(literal, query.parameters))) for query in queries])
        return [[dict(zip(names, row, strict=True)) for row in rows] for names, rows in found]

    def _results(self, statements: Sequence[tuple[str, tuple[str, ...]]]) -> list[_Result]:
        from botocore.exceptions import BotoCoreError, ClientError  # as heavy as boto3

        try:
            keys = [self._start(sql, values) for sql, values in statements]
            self._wait(keys)
            return [self._read(key) for key in keys]
        except ClientError as error:
            told = error.response["Error"]
            raise AthenaError(
                f"Athena answered {told.get('Code', 'an error')}: {told.get('Message', '')}"
            ) from error
        except BotoCoreError as error:
            raise AthenaError(f"Athena cannot be reached: {type(error).__name__}") from error

    def _start(self, sql: str, values: tuple[str, ...]) -> str:
        key = self._key(sql, values)
        if key not in self._executions:
            # A token that was used before gives the same execution, and be it one that failed.
            ended = self._given_up.get(key)
            started = self._boto().start_query_execution(
                QueryString=sql,
                ClientRequestToken=key if ended is None else _digest(key, ended),
                QueryExecutionContext={"Database": self._database},
                WorkGroup=self._workgroup,
                **({"ExecutionParameters": list(values)} if values else {}),
            )
            _keep(self._executions, key, started["QueryExecutionId"])
        self._executions.move_to_end(key)
        return key

    def _give_up(self, key: str) -> None:
        """Have the same question start another execution when it is asked again."""
        _keep(self._given_up, key, self._executions.pop(key))

    def _key(self, sql: str, values: tuple[str, ...]) -> str:
        return _digest(self._workgroup, self._database, self._state, sql, *values)

    def _wait(self, keys: Sequence[str]) -> None:
        until = time.monotonic() + self._wait_s
        waiting = list(keys)
        while waiting := [key for key in waiting if not self._is_done(key)]:
            if time.monotonic() >= until:
                raise AthenaRunning(2)
            time.sleep(_POLL_S)

    def _is_done(self, key: str) -> bool:
        execution = self._boto().get_query_execution(QueryExecutionId=self._executions[key])["QueryExecution"]
        state = execution["Status"]["State"]
        if state in ("FAILED", "CANCELLED"):
            self._give_up(key)
            reason = execution["Status"].get("StateChangeReason", "no reason given")
            raise AthenaError(f"Athena's query {execution['QueryExecutionId']} is {state}: {reason}")
        if state == "SUCCEEDED" and key not in self._counted:
            _keep(self._counted, key, self._executions[key])
            scanned = execution.get("Statistics", {}).get("DataScannedInBytes", 0)
            self.used.athena_bytes += athena_bytes(scanned)
        return bool(state == "SUCCEEDED")

    def _read(self, key: str) -> _Result:
        from botocore.exceptions import ClientError

        names: list[str] = []
        rows: list[tuple[Any, ...]] = []
        pages = self._boto().get_paginator("get_query_results")
        try:
            answered = list(pages.paginate(QueryExecutionId=self._executions[key]))
        except ClientError:
            self._give_up(key)  # results expire; who asked a week ago has used the token
            raise
        for number, page in enumerate(answered):
            found = page["ResultSet"]
            columns = found["ResultSetMetadata"]["ColumnInfo"]
            names, types = ([column[part] for column in columns] for part in ("Name", "Type"))
            # The first row of the first page is the names of the columns.
            rows += [
                tuple(value(kind, cell) for kind, cell in zip(types, row["Data"], strict=True))
                for row in found["Rows"][number == 0 :]
            ]
        return names, rows

    def _boto(self) -> Any:
        if self._client is None:
            import boto3  # heavy: not before it is needed

            self._client = boto3.client("athena")
        return self._client


def _digest(*texts: str) -> str:
    return sha256("\0".join(texts).encode()).hexdigest()


def _keep(known: OrderedDict[str, str], key: str, execution: str) -> None:
    known[key] = execution
    while len(known) > _MAX_KEPT:
        known.popitem(last=False)


def value(kind: str, cell: dict[str, str]) -> Any:
    """A cell as its column's type says; a cell without text is null. Raises AthenaError."""
    text = cell.get("VarCharValue")
    if text is None:
        return None
    if kind not in _READERS:
        raise AthenaError(f"expected a column of {', '.join(_READERS)}, got {kind}")
    try:
        return _READERS[kind](text)
    except (ValueError, ArithmeticError) as error:
        raise AthenaError(f"expected a {kind}, got {text[:40]!r}") from error


def literal(given: Any) -> str:
    """A value as an SQL literal, which is how Athena takes `ExecutionParameters`."""
    if isinstance(given, str):
        return text_literal(given)
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int | Decimal):
        return format(given, "f" if isinstance(given, Decimal) else "d")
    if isinstance(given, datetime):
        if given.tzinfo is not None:
            raise TypeError(f"expected a timestamp of UTC without a zone, got {given.isoformat()}")
        return f"TIMESTAMP '{given.isoformat(' ', 'milliseconds')}'"
    if isinstance(given, date):
        return f"DATE '{given.isoformat()}'"
    raise TypeError(f"expected text, a number, a day or a timestamp, got {type(given).__name__}")
