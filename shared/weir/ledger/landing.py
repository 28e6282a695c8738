"""A landing object in, batches out: what Data Firehose wrote of a log subscription, in the order in which it came.

Firehose puts the subscription's records one behind the other as they are, and each is a gzip member of its own
(RFC 1952, section 2.2). It delivers at least once, in any order, and an object may hold anything: a part that is no
gzip, is cut, damaged, or over the cap when inflated is set aside with the byte at which it begins, and the next member
is looked for by its magic number. So what is broken never takes its neighbours with it.

Bytes in, batches out: nothing is held but the member that is being read.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html#FirehoseExample
"""

import zlib
from collections.abc import Callable, Iterable, Iterator

from weir.ledger.log_records import Poison
from weir.ledger.log_subscription import MAX_BATCH_BYTES, LogBatch, read_document, set_aside

_MAGIC = b"\x1f\x8b\x08"  # of gzip, with the one method that there is
_PIECE = 4096  # inflated at once: what is left of a piece is copied where a member ends in it


def read_landing(
    chunks: Iterable[bytes],
    region: str | None = None,
    max_bytes: int = MAX_BATCH_BYTES,
    *,
    on_record: Callable[[int], object] = lambda size: None,
) -> Iterator[LogBatch]:
    """The batches of one object whose bytes are `chunks`, of log groups in `region`; what is wrong becomes poison.

    `on_record` is told of the size in bytes of each record that Firehose took.
    """
    members = Members(max_bytes, on_record)
    for chunk in chunks:
        for member in members.feed(chunk):
            yield _batch(member, region)
    for member in members.close():
        yield _batch(member, region)


def _batch(member: bytes | Poison, region: str | None) -> LogBatch:
    if isinstance(member, Poison):
        return LogBatch(poison=(member,))
    return read_document(member, region)


class Members:
    """Splits gzip members; each comes inflated, or as the poison that it is."""

    def __init__(
        self, max_bytes: int = MAX_BATCH_BYTES, on_record: Callable[[int], object] = lambda size: None
    ) -> None:
        self._max_bytes = max_bytes
        self._on_record = on_record
        self._offset = 0  # of the first byte in _raw
        self._raw = bytearray()  # the member that is being read, as it came; and what waits behind it
        self._fed = 0  # how much of _raw has been inflated
        self._begin()

    def _begin(self) -> None:
        self._inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: gzip alone
        self._pieces: list[bytes] = []
        self._size = self._fed = 0
        self._broken: str | None = None  # why what begins here is no member

    def feed(self, data: bytes) -> Iterator[bytes | Poison]:
        """Take bytes; give the members that end in them."""
        self._raw += data
        while self._fed < len(self._raw):
            if self._fed == 0 and self._broken is None:
                if len(self._raw) < len(_MAGIC):
                    return
                if not self._raw.startswith(_MAGIC):
                    self._broken = "not gzip"
            if self._broken is None:
                yield from self._inflate()
                continue
            # What is broken ends where the next member begins.
            found = self._raw.find(_MAGIC, max(1, self._fed - len(_MAGIC)))
            if found < 0:
                self._fed = len(self._raw)
                return
            yield self._skip(self._broken, found)

    def close(self) -> Iterator[bytes | Poison]:
        """Give what the end of the object left unfinished."""
        while self._raw:
            reason = self._broken or "truncated: gzip ends before its end marker"
            found = self._raw.find(_MAGIC, 1)
            yield self._skip(reason, found if found > 0 else len(self._raw))
            yield from self.feed(b"")

    def _inflate(self) -> Iterator[bytes | Poison]:
        piece = bytes(self._raw[self._fed : self._fed + _PIECE])
        try:
            while True:
                # Past the cap it is inflated only to find its end.
                text = self._inflater.decompress(piece, self._max_bytes + 1)
                self._size += len(text)
                if self._size <= self._max_bytes:
                    self._pieces.append(text)
                else:
                    self._pieces.clear()
                if self._inflater.eof or not self._inflater.unconsumed_tail:
                    break
                piece = self._inflater.unconsumed_tail
        except zlib.error as error:
            self._broken, self._fed = f"damaged gzip: {error}", 1
            return
        self._fed += min(_PIECE, len(self._raw) - self._fed) - len(self._inflater.unused_data)
        if self._inflater.eof:
            size = self._fed
            if self._size <= self._max_bytes:
                yield b"".join(self._pieces)
            else:
                reason = f"over {self._max_bytes} bytes when inflated, from {size}"
                yield set_aside(reason, bytes(self._raw[:size]), self._offset)
            self._drop(size)

    def _skip(self, reason: str, size: int) -> Poison:
        poison = set_aside(reason, bytes(self._raw[:size]), self._offset)
        self._drop(size)
        return poison

    def _drop(self, size: int) -> None:
        self._on_record(size)
        del self._raw[:size]
        self._offset += size
        self._begin()
