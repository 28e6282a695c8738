"""Readable English for simulated documents: sentences drawn from a small bank, around the topic of the
prompt.

The bank carries characters of two, three and four UTF-8 bytes on purpose, so that a decoder meets split
characters.
"""

import random
import re
import unicodedata

_SENTENCES = (
    "Start with {topic} as it is today, not as the diagram remembers it.",
    "Most of the surprises come from the edges — the first minute, the last byte, the retry nobody tested.",
    "A small experiment beats a long meeting; write down what you expected before you look.",
    "The naïve version works on the first day and fails on the ninth, quietly.",
    "We kept one number on the wall for a month, and it changed how we talked about {topic}.",
    "Ask what happens when the other side is slow, then ask what happens when it is fast.",
    "Nobody at the café table could say what it cost, so we measured it.",
    "There is a trade-off here: simpler to explain, a little harder to undo.",
    "Good defaults do most of the work — the rest is saying clearly what they are.",
    "It took an afternoon to build and a week to believe.",
    "If two people describe {topic} differently, both descriptions belong in the document.",
    "Keep the raw data; opinions about it will change, and then you will want it back.",
    "The second attempt was shorter, plainer and, to our relief, faster.",
    "What looks like noise is often a schedule someone forgot about.",
    "“It depends” is a fair answer only when the next sentence says on what.",
    "Write the failure message first; it tells you what the code has to know.",
    "A résumé of every decision, one line each, saved us more than once.",
    "Small steps, each of them reversible, carried us further than the grand plan did.",
    "Notice what people do by hand — that is the list of things worth automating.",
    "By the end, {topic} felt less like a project and more like a habit.",
)
_HEADINGS = (
    "Where to begin",
    "What we measured",
    "The part nobody draws",
    "Small steps, in order",
    "When it goes wrong",
    "A quieter way to work",
    "What it costs",
    "Notes from the café table",
    "The second attempt — shorter",
    "What we would keep",
    "Questions worth asking twice",
    "A checklist for Monday",
)
_TITLES = (
    "{Topic}: a field guide",
    "What we learned from {topic}",
    "{Topic}, plainly explained",
    "A year of {topic} — what stayed",
)
_NAMES = ("Amélie Duarte", "Jonas Weber", "Priya Raman", "Zoë Lindqvist", "Mateo García", "Ada Okafor")
_WORDS = (
    "baseline", "budget", "cadence", "checklist", "craft", "default", "draft", "feedback", "habit", "latency",
    "margin", "method", "notebook", "patience", "pattern", "practice", "queue", "review", "rhythm", "signal",
    "sketch", "stream", "tempo", "workflow",
)  # fmt: skip
_ENDINGS = (
    "Pick one of these, try it this week, and write down what happened. 📝",
    "None of this is clever — it is only repeated, and that is the point. 🧭",
)
_DROPPED = {"a", "an", "and", "for", "in", "of", "on", "the", "to", "with"}


def topic_of(prompt: str) -> str:
    """The words after "about" or "on" in a prompt, at most 48 characters; else a neutral topic."""
    found = re.search(r"\b(?:about|on)\s+([^.!?\n]+)", prompt)
    topic = found.group(1).strip(" \t\"'“”") if found else ""
    if len(topic) > 48:
        topic = topic[:48].rsplit(" ", 1)[0]
    return topic or "keeping a notebook"


class Prose:
    """Text for the fields of a document; the same random source and topic give the same text."""

    def __init__(self, source: random.Random, topic: str, *, words: int) -> None:
        self._source = source
        self._topic = topic
        self._words = words
        self._bag: dict[str, list[str]] = {}
        self._name = _NAMES[0]

    def text(self, name: str) -> str:
        """Text for a field of this name; a field name without a convention gets one sentence."""
        name = name.lower()
        topic = self._topic
        if name in {"title"}:
            return self._fill(self._draw(_TITLES))
        if name in {"heading", "subtitle", "section"}:
            return self._draw(_HEADINGS)
        if name in {"content", "body", "text", "description", "details", "answer"}:
            return self.paragraph(self._words)
        if name in {"conclusion"}:
            return f"{self.paragraph(self._words // 2)} {self._draw(_ENDINGS)}"
        if name in {"summary", "abstract", "bio", "about"}:
            return self.paragraph(min(self._words // 2, 30))
        if name in {"name", "author", "full_name"}:
            self._name = self._draw(_NAMES)
            return self._name
        if name in {"slug", "id", "identifier"}:
            return slug(topic)
        if name in {"email"}:
            return f"{slug(self._name).replace('-', '.')}@example.org"
        if name in {"references", "reference", "url", "link", "source", "sources"}:
            return self.url()
        if name in {"tag", "tags", "keyword", "keywords", "category", "categories", "label", "labels"}:
            return self._draw(_WORDS)
        return self._fill(self._draw(_SENTENCES))

    def paragraph(self, words: int) -> str:
        """Whole sentences, at least `words` words of them."""
        sentences: list[str] = []
        count = 0
        while count < words or not sentences:
            sentences.append(self._fill(self._draw(_SENTENCES)))
            count += sentences[-1].count(" ") + 1
        return " ".join(sentences)

    def url(self) -> str:
        """An address under a domain reserved for examples (RFC 2606)."""
        return f"https://example.org/notes/{slug(self._topic)}-{self._draw(_WORDS)}"

    def _fill(self, text: str) -> str:
        return text.replace("{topic}", self._topic).replace(
            "{Topic}", self._topic[:1].upper() + self._topic[1:]
        )

    def _draw(self, bank: tuple[str, ...]) -> str:
        # A shuffled bag per bank: nothing repeats before everything was used once.
        key = bank[0]
        if not self._bag.get(key):
            self._bag[key] = self._source.sample(bank, len(bank))
        return self._bag[key].pop()


def slug(text: str) -> str:
    """Lower-case ASCII words joined by hyphens, at most six of them, never empty."""
    # Decomposed, é is e and an accent, and the accent is no ASCII.
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = [word for word in re.findall(r"[a-z0-9]+", ascii_text.lower()) if word not in _DROPPED]
    return "-".join(words[:6]) or "untitled"
