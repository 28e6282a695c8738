"""When text leaves: the moment it comes (`raw`), or when the value that holds it has validated (`validated`).

Validated text is never taken back. A retry goes on behind what was released, so that whoever reads only text sees one
document. For that a request that may be retried releases whole members of the document: an answer's list may have valid
elements and still be asked for again as a whole.
"""

from pydantic_streaming import StreamedValidator


class ValidatedRelease:
    """Holds a document's text back until it is known to be right; `released` is what has left, in this attempt or one
    before."""

    def __init__(self, validator: StreamedValidator, *, whole_members: bool, released: str = "") -> None:
        self.released = released
        self._validator = validator
        self._whole_members = whole_members
        self._held: list[str] = []
        self._skip = len(released)  # the spliced text begins with what has left already
        self._sent = 0

    def hold(self, text: str) -> None:
        """Take text in the order in which the validator gets it."""
        self._held.append(text)

    def due(self) -> str:
        """The text that may leave now."""
        validator = self._validator
        return self._until(validator.member_chars if self._whole_members else validator.validated_chars)

    def rest(self) -> str:
        """All that is left of a document that was accepted."""
        return self._until(sum(map(len, self._held)))

    def _until(self, chars: int) -> str:
        if chars <= max(self._sent, self._skip):
            return ""
        text = "".join(self._held)
        begin = max(self._sent, self._skip)
        due = text[begin:chars]
        self._held, self._sent = [text], chars
        self.released += due
        return due
