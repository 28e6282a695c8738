"""The recorded streams of six protocols (README, 'Corpora'), and what our decoders read from one."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tests.corpora import corpus
from weir.pricing.usage import Usage
from weir.providers.chat_completions import ChatCompletionsDecoder
from weir.providers.converse import ConverseDecoder, InvokeDecoder
from weir.providers.events import (
    Decoder,
    Finished,
    ProviderEvent,
    Reasoning,
    Refusal,
    Served,
    Text,
    ToolCall,
    UsageReported,
)
from weir.providers.failed import Failed
from weir.providers.gemini import GeminiDecoder
from weir.providers.messages import MessagesDecoder
from weir.providers.responses import ResponsesDecoder

DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "chat.completions": ChatCompletionsDecoder,
    "responses": ResponsesDecoder,
    "messages": MessagesDecoder,
    "gemini": GeminiDecoder,
    "bedrock.converse": ConverseDecoder,
    "bedrock.invoke": InvokeDecoder,
}
# Not one of the doors: the agents' runtime has events of its own.
OTHERS = frozenset({"bedrock_invoke-714d39c938.eventstream"})


@dataclass(frozen=True)
class Recording:
    """One recorded body."""

    name: str
    host: str
    body: bytes


@dataclass
class Reading:
    """What was read from one stream."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    arguments: str = ""
    finish: Finished | None = None
    model: str | None = None
    usage: Usage | None = None
    failures: list[Failed] = field(default_factory=list)
    complete: bool = False
    events: list[ProviderEvent] = field(default_factory=list)


@functools.cache
def recordings(api: str) -> list[Recording]:
    """The recordings of one protocol, of both corpora."""
    found = []
    for folder in ("streams", "streams2"):
        manifest = corpus(f"{folder}/manifest.json")
        for entry in json.loads(manifest.read_text()):
            if entry["api"] == api and entry["file"] not in OTHERS:
                body = manifest.with_name(entry["file"]).read_bytes()
                found.append(Recording(entry["file"], entry["host"], body))
    return found


def read(api: str, body: bytes, size: int | None = None) -> Reading:
    """What our decoder reads, fed with pieces of so many bytes."""
    step = size or len(body)
    return read_pieces(api, [body[start : start + step] for start in range(0, len(body), step)])


def read_pieces(api: str, pieces: Iterable[bytes]) -> Reading:
    """What our decoder reads from these pieces of a body."""
    decoder, reading = DECODERS[api](), Reading()
    for piece in pieces:
        reading.events += decoder.feed(piece)
    reading.events += decoder.close()
    for event in reading.events:
        match event:
            case Text(text):
                reading.text += text
            case Reasoning(text):
                reading.reasoning += text
            case Refusal(text):
                reading.refusal += text
            case ToolCall(arguments=text):
                reading.arguments += text
            case Served(model):
                reading.model = model or reading.model
            case UsageReported(usage):
                reading.usage = usage
            case Failed():
                reading.failures.append(event)
    reading.finish, reading.complete = decoder.finish, decoder.complete
    return reading
