"""The protocols that the simulator speaks: one answer, as each provider's API would send it.

A dialect reads a request into Chat Completions' words, in which answers are composed, and writes the answer in its own,
with the members, their order and the framing of recorded streams.
"""

from .chat import ChatCompletions
from .converse import Converse
from .dialect import Dialect, RequestError
from .gemini import Gemini
from .messages import Messages
from .responses import Responses

__all__ = ["ChatCompletions", "Converse", "Dialect", "Gemini", "Messages", "RequestError", "Responses"]
