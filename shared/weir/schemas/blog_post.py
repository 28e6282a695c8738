"""A blog post, in sections that are worth showing one by one as they arrive."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

type Line = Annotated[str, Field(min_length=1, max_length=300)]


class Author(BaseModel):
    """Who wrote the post."""

    model_config = ConfigDict(extra="forbid")

    name: Line
    bio: str | None = None
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")] | None = None


class Section(BaseModel):
    """One part of the post under its own heading."""

    model_config = ConfigDict(extra="forbid")

    heading: Line
    content: Annotated[str, Field(min_length=1)]
    keywords: list[Line]


class BlogPost(BaseModel):
    """A post that is ready to be published."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    slug: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=120)]
    summary: Annotated[str, Field(min_length=1)]
    tags: Annotated[list[Line], Field(max_length=20)]
    author: Author
    sections: Annotated[list[Section], Field(min_length=1)]
    conclusion: Annotated[str, Field(min_length=1)]
    references: list[Line]
