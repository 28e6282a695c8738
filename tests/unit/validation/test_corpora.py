"""JSONTestSuite (Nicolas Seriot, MIT): what must be refused is, what must be accepted is, at any chopping."""

import codecs
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from pydantic_streaming import InvalidDocument, StreamedValidator
from tests.corpora import corpus


class AnyValue(BaseModel):
    v: Any


class AnyElements(BaseModel):
    v: list[Any]


class AnyEntries(BaseModel):
    v: dict[str, Any]


class Nothing(BaseModel):
    pass


# The file's text as a document, a member, an element at each end, an entry, and a member that nobody asked for.
PLACES: dict[str, tuple[type[BaseModel], bytes, bytes]] = {
    "document": (RootModel[Any], b"", b""),
    "member": (AnyValue, b'{"v":', b"}"),
    "first element": (AnyElements, b'{"v":[', b",1]}"),
    "last element": (AnyElements, b'{"v":[1,', b"]}"),
    "entry": (AnyEntries, b'{"v":{"k":', b"}}"),
    "extra member": (Nothing, b'{"v":1,"w":', b"}"),
}


def files() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(corpus("json/JSONTestSuite-test_parsing.tar.gz")) as archive:
        for member in archive.getmembers():
            name = member.name.rsplit("/", 1)[-1]
            stream = archive.extractfile(member) if name.endswith(".json") else None
            if stream is not None:
                yield name, stream.read()


def accepted(model: type[BaseModel], data: bytes, size: int) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    validator = StreamedValidator(model)
    try:
        for at in range(0, len(data), size):
            validator.feed(decoder.decode(data[at : at + size]))
        validator.feed(decoder.decode(b"", final=True))
        validator.close()
    except (UnicodeDecodeError, InvalidDocument):
        return False
    return True


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [1, 2, 7, 1_000_000])
def test_no_file_is_validated_otherwise_than_it_must_be(place: str, size: int) -> None:
    model, before, after = PLACES[place]
    seen = 0
    for name, data in files():
        seen += 1
        verdict = accepted(model, before + data + after, size)
        assert name[0] != "y" or verdict, f"{name} must be accepted"
        assert name[0] != "n" or not verdict, f"{name} must be refused"
    assert seen == 318
