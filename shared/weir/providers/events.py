"""What any provider's stream says, whatever its protocol, and what a decoder of one is.

A decoder is sans IO: bytes in, events out, at any chunking. Enumerations of every provider grow, so a value that is
not known is `other`, and no error; what may hold text of the answer and cannot be read is an error, and no hole.
"""

from typing import Literal, NamedTuple, Protocol

from weir.pricing.usage import Usage
from weir.providers.failed import Failed

type FinishReason = Literal[
    "stop", "length", "tool", "refused", "filtered", "paused", "malformed", "error", "context", "other"
]


# Named tuples, whose values are made the fastest: each delta of an answer is some.
class Text(NamedTuple):
    """Text of the answer, as the provider cut it; never half a surrogate pair."""

    text: str


class Reasoning(NamedTuple):
    """The model thinks aloud: paid for as output, and no part of the answer."""

    text: str


class Refusal(NamedTuple):
    """Text of a refusal, or the name of what was refused: not part of any document."""

    text: str
    category: str | None = None


class ToolCall(NamedTuple):
    """A piece of a call of tool `number`: id and name come once, mostly first; arguments are JSON text, cut."""

    number: int  # providers say index, which a tuple has of its own
    id: str | None
    name: str | None
    arguments: str


class UsageReported(NamedTuple):
    """The counts so far, already merged with earlier ones: this one stands for all."""

    usage: Usage


class Served(NamedTuple):
    """Who answers, which is what is to be priced: it may differ from what was asked for. None is not said."""

    model: str | None = None
    tier: str | None = None
    region: str | None = None


class Finished(NamedTuple):
    """The answer ended: why, in one set of words for all protocols, and in the provider's own."""

    normal: FinishReason
    raw: str


class Switched(NamedTuple):
    """Another model goes on with the answer: what came before has the first one's price."""

    before: str | None
    after: str | None


type ProviderEvent = (
    Text | Reasoning | Refusal | ToolCall | UsageReported | Served | Finished | Failed | Switched
)


class Decoder(Protocol):
    """The body of one streamed answer, of one protocol.

    `terminated` is true when nothing more is due: after the protocol's own end mark. `finish` is why the answer
    ended, once that is known and as long as no text contradicts it. `replaced` counts events in which invalid UTF-8
    or half a surrogate pair became U+FFFD. After a `Failed` whatever follows is ignored.
    """

    terminated: bool
    finish: Finished | None

    @property
    def replaced(self) -> int:
        """How many events held what is no text."""

    def feed(self, data: bytes) -> list[ProviderEvent]:
        """Take the next bytes of the body; return what they say, in order."""

    def close(self) -> list[ProviderEvent]:
        """End the body; return what its end says, and know from `complete` whether it was whole."""

    @property
    def complete(self) -> bool:
        """Whether the answer is known to have come to its end."""
