"""A request that is asked once, and answers that are given again: what is written of them, and what is read.

    pk ANSWERS#tenant   sk ONCE#sha256(key)               a claim: who asks, what for, and until when they may run
                        sk ONCE#sha256(key)#0, #1, ...    its answer
                        sk CACHE#sha256(request)#0, ...   a valid document

A claim is one conditional write, so that of many who ask at once one asks the model. It stays small: whoever finds it
taken is charged for its size. An answer is compressed, and cut into parts that an item can hold; the first part is
written last. Of the caller's key and of the request only hashes are kept. All expire, and DynamoDB deletes late, so
`expires` is read, too. What is stored in another shape is no answer.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
"""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

KEPT = timedelta(hours=24)
PART_BYTES = 290_000  # of the 400 KB that an item holds, also where its bytes are counted as base64
MAX_PARTS = 24
MAX_JSON_BYTES = 32_000_000  # far more than a request may hold
_VERSION = 1


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it is given again.

    `text` is what the model wrote; `is_model_text` tells it from a document's JSON and from text that was released.
    `problem` are the members of what the caller was told, if it was a failure. `request_id` is who bought it,
    `tokens_usd` what the tokens cost then; None is unknown.
    """

    request_id: str
    outcome: str
    text: str
    is_model_text: bool
    problem: Mapping[str, Any] | None
    model: str | None
    output_tokens: int | None
    tokens_usd: str | None
    tool_calls: Sequence[Sequence[Any]] = ()  # index, id, name, arguments

    def pack(self) -> bytes:
        """Compressed, for the table."""
        return zlib.compress(json.dumps({"v": _VERSION, **asdict(self)}, separators=(",", ":")).encode())

    @classmethod
    def unpack(cls, packed: bytes) -> Self | None:
        """Read it; None where it is nothing that `pack` wrote."""
        try:
            opened = zlib.decompressobj()
            members = json.loads(opened.decompress(packed, MAX_JSON_BYTES))
            if opened.unconsumed_tail or members.pop("v") != _VERSION:
                return None
            calls = tuple((int(index), *rest) for index, *rest in members.pop("tool_calls"))
            answer = cls(**members, tool_calls=calls)
        except (zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        texts = isinstance(answer.text, str) and isinstance(answer.outcome, str)
        whole = texts and isinstance(answer.problem, Mapping | None) and all(len(call) == 4 for call in calls)
        return answer if whole else None


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that was taken: `holder` names who asks, `body` is the hash of what, `runs_until` of how long it may take
    (epoch seconds)."""

    holder: str
    body: str
    runs_until: int
    expires: int

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Self:
        """The item; members of other shapes than ours make a claim that is over and was for nothing we know."""
        return cls(
            _text(item.get("holder")), _text(item.get("body")), _number(item.get("runs_until")),
            _number(item.get("expires")),
        )  # fmt: skip


def once_name(key: str) -> str:
    """The sort key of a caller's key."""
    return f"ONCE#{sha256(key.encode()).hexdigest()}"


def cache_name(request: Sequence[object]) -> str:
    """The sort key of a request, by all that its document hangs on; the order of an object's members is not."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=str)
    return f"CACHE#{sha256(text.encode()).hexdigest()}"


def item_key(tenant: str, name: str) -> dict[str, Any]:
    """The table's key."""
    return {"pk": {"S": f"ANSWERS#{tenant}"}, "sk": {"S": name}}


def take(tenant: str, name: str, claim: Claim, now: datetime) -> dict[str, Any]:
    """UpdateItem that takes a key, or fails with the claim that is there."""
    return _claim(
        tenant, name, claim, "attribute_not_exists(#holder) OR #expires <= :now",
        {":now": {"N": str(int(now.timestamp()))}},
    )  # fmt: skip


def take_over(tenant: str, name: str, claim: Claim, before: Claim) -> dict[str, Any]:
    """UpdateItem that takes a key whose holder left no answer, or fails where somebody else was quicker."""
    return _claim(tenant, name, claim, "#holder = :before", {":before": {"S": before.holder}})


def let_go(tenant: str, name: str, claim: Claim, now: datetime) -> dict[str, Any]:
    """UpdateItem that frees a key: nothing was bought."""
    return {
        "Key": item_key(tenant, name),
        "UpdateExpression": "SET #expires = :now",
        "ConditionExpression": "#holder = :holder",
        "ExpressionAttributeNames": {"#holder": "holder", "#expires": "expires"},
        "ExpressionAttributeValues": {
            ":now": {"N": str(int(now.timestamp()))}, ":holder": {"S": claim.holder},
        },
    }  # fmt: skip


def parts(tenant: str, name: str, holder: str, packed: bytes, expires: int) -> list[dict[str, Any]]:
    """UpdateItems that keep an answer, in the order in which they are to be written: the first part last.

    Raises ValueError where it is too large to be kept.
    """
    pieces = [packed[at : at + PART_BYTES] for at in range(0, len(packed), PART_BYTES)]
    if len(pieces) > MAX_PARTS:
        raise ValueError(f"answer: expected at most {MAX_PARTS * PART_BYTES} bytes, got {len(packed)}")
    return [
        {
            "Key": item_key(tenant, f"{name}#{number}"),
            "UpdateExpression": "SET #holder = :holder, #piece = :piece, #count = :count, #expires = :expires",
            "ExpressionAttributeNames": {
                "#holder": "holder", "#piece": "piece", "#count": "count", "#expires": "expires",
            },
            "ExpressionAttributeValues": {
                ":holder": {"S": holder}, ":piece": {"B": b64encode(pieces[number]).decode()},
                ":count": {"N": str(len(pieces))}, ":expires": {"N": str(expires)},
            },
        }
        for number in reversed(range(len(pieces)))
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer, as it was read."""

    holder: str
    piece: bytes
    count: int

    @classmethod
    def read(cls, item: Mapping[str, Any] | None, now: datetime) -> Self | None:
        """The item; None where it is absent, over, or of another shape."""
        if item is None or _number(item.get("expires")) <= now.timestamp():
            return None
        value = item.get("piece")
        try:
            piece = b64decode(value["B"], validate=True) if isinstance(value, Mapping) else b""
        except (KeyError, TypeError, ValueError):
            return None
        count = _number(item.get("count"))
        return cls(_text(item.get("holder")), piece, count) if piece and 0 < count <= MAX_PARTS else None


def _claim(tenant: str, name: str, claim: Claim, condition: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Key": item_key(tenant, name),
        "UpdateExpression": "SET #holder = :holder, #body = :body, #until = :until, #expires = :expires",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {
            "#holder": "holder", "#body": "body", "#until": "runs_until", "#expires": "expires",
        },
        "ExpressionAttributeValues": {
            ":holder": {"S": claim.holder}, ":body": {"S": claim.body}, ":until": {"N": str(claim.runs_until)},
            ":expires": {"N": str(claim.expires)}, **values,
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }  # fmt: skip


def _text(value: object) -> str:
    found = value.get("S") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def _number(value: object) -> int:
    try:
        return int(value["N"])  # type: ignore[index]  # what has no members is no number
    except (KeyError, TypeError, ValueError):
        return 0
