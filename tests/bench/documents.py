"""The documents of the validation benchmark: the same models and texts for ours and for everyone else."""

from random import Random

from pydantic import BaseModel

WORDS = 'the of stream validates each token as it comes "quoted" and\n plainer words with café or naïve in between'.split(
    " "
)
TOKEN_CHARS = 4


class Section(BaseModel):
    """A section of prose."""

    heading: str
    body: str


class BlogPost(BaseModel):
    """Prose: what language models mostly write."""

    title: str
    summary: str
    tags: list[str]
    sections: list[Section]


class Point(BaseModel):
    """Twenty characters."""

    x: float
    y: float


class Dense(BaseModel):
    """Numbers and small objects: the most values for its size."""

    points: list[Point]
    rows: list[list[float]]
    flat: list[float]


def prose(size: int) -> str:
    """The text of a BlogPost of about `size` characters."""
    random = Random(size)

    def words(chars: int) -> str:
        return " ".join(random.choice(WORDS) for _ in range(chars // 7))

    sections = [Section(heading=words(50), body=words(560)) for _ in range(max(2, size // 640))]
    post = BlogPost(title=words(40), summary=words(280), tags=["a", "b", "c"], sections=sections)
    return post.model_dump_json()


def dense(size: int) -> str:
    """The text of a Dense document of about `size` characters."""
    random = Random(size)
    third = size // 3

    def number(places: int) -> float:
        return round(random.uniform(-9, 9), places)

    return Dense(
        points=[Point(x=number(3), y=number(2)) for _ in range(third // 21)],
        rows=[[number(3) for _ in range(40)] for _ in range(third // 260)],
        flat=[number(4) for _ in range(third // 8)],
    ).model_dump_json()


def tokens(text: str, size: int = TOKEN_CHARS) -> list[str]:
    """`text` as a stream brings it."""
    return [text[at : at + size] for at in range(0, len(text), size)]
