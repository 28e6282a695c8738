"""What is answered to one request: its tokens, how it ends and what is charged, decided before the first byte
leaves.

The same request to the same script gives the same answer, in any process: everything is drawn from a digest
of the script's name and the first user message.
"""

import hashlib
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .document import Composer
from .prose import Prose, topic_of
from .script import Script
from .violations import Document, render

_CREATED = 1_790_000_000  # Epoch seconds, fixed: nothing in an answer depends on the day it is given.


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of one answer.

    `closes_at_token` counts the tokens after which the violating value at `violation_path` is complete,
    `object_closes_at_token` those after which the object that holds it is.
    """

    id: str
    created: int
    model: str
    tokens: tuple[str, ...]
    is_refusal: bool
    finish_reason: str
    usage: dict[str, Any]
    violation_path: str | None = None
    closes_at_token: int | None = None
    object_closes_at_token: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def conversation_of(body: Mapping[str, Any]) -> str:
    """Digest of the model and the first user message: what a retry has in common with its first attempt."""
    first = next((m for m in body["messages"] if m.get("role") == "user"), body["messages"][0])
    text = json.dumps([body["model"], first.get("content")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compose(script: Script, body: Mapping[str, Any]) -> Answer:
    """The answer of `script` to the request `body`.

    Raises ValueError for a schema outside the composer's subset.
    """
    size = script.characters_per_token
    seed = conversation_of(body)
    document = _document(script, body, random.Random(seed))
    text = script.refusal if script.refusal is not None else f"{script.prefix}{document.text}{script.suffix}"
    tokens = tuple(text[i : i + size] for i in range(0, len(text), size))
    finish_reason = script.finish_reason
    kept = math.floor(len(tokens) * script.share)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and limit < kept + script.reasoning_tokens:
        kept, finish_reason = max(0, limit - script.reasoning_tokens), "length"
    tokens = tokens[:kept]

    def tokens_until(offset: int | None) -> int | None:
        return None if offset is None else math.ceil((len(script.prefix) + offset) / size)

    return Answer(
        id=f"chatcmpl-{seed}",
        created=_CREATED,
        model=script.returned_model or script.name,
        tokens=tokens,
        is_refusal=script.refusal is not None,
        finish_reason=finish_reason,
        usage=_usage(script, prompt_tokens=count_prompt_tokens(body, size), output_tokens=len(tokens)),
        violation_path=document.path,
        closes_at_token=tokens_until(document.closes_at),
        object_closes_at_token=tokens_until(document.object_closes_at),
    )


def count_prompt_tokens(body: Mapping[str, Any], size: int = 4) -> int:
    """Input tokens: messages and schema at `size` characters a token, and three per message."""
    characters = sum(len(json.dumps(m.get("content"), ensure_ascii=False)) for m in body["messages"])
    if "response_format" in body:
        characters += len(json.dumps(body["response_format"], ensure_ascii=False))
    return math.ceil(characters / size) + 3 * len(body["messages"])


def _document(script: Script, body: Mapping[str, Any], source: random.Random) -> Document:
    prose = Prose(source, topic_of(_first_text(body)), words=script.words)
    kind = (body.get("response_format") or {}).get("type", "text")
    if kind == "json_schema":
        schema = body["response_format"]["json_schema"]["schema"]
        composer = Composer(schema, source, prose, sections=script.sections)
        return render(composer.compose(), schema, composer, script.violation)
    if kind == "json_object":
        return Document(json.dumps({"answer": prose.paragraph(script.words)}, ensure_ascii=False))
    return Document("\n\n".join(prose.paragraph(script.words) for _ in range(script.sections)))


def _first_text(body: Mapping[str, Any]) -> str:
    for message in body["messages"]:
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return " ".join(part.get("text", "") for part in content or () if isinstance(part, Mapping))
    return ""


def _usage(script: Script, *, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
    completion = output_tokens + script.reasoning_tokens
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": prompt_tokens + completion,
        "prompt_tokens_details": {
            "cached_tokens": math.floor(prompt_tokens * script.cached_share),
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": script.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
