"""Which facts SQL reads as the join does, told by their shape: the members a fact has, and the types of those read.

What SQL reads is declared here once, as paths below the line; DuckDB turns each line into the members' types, the names
in its objects, and a struct of values. A fact is plain where every type is one that SQL reads exactly, every name is
known, and no name is there twice (Python takes the last of them, DuckDB the first). A member that a later version adds
is not known, so its requests go through the join itself until somebody has looked here: slower, and never wrong.

Facts of one version have few shapes, so each is judged once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ABSENT = frozenset({None, "NULL"})


@dataclass(frozen=True, slots=True)
class Member:
    """One member that SQL reads: its type there, and the types in JSON that it may have."""

    type: str
    json_types: frozenset[str | None]

    @property
    def optional(self) -> "Member":
        """The same, also where it is null or absent."""
        return Member(self.type, self.json_types | _ABSENT)


TEXT = Member("VARCHAR", frozenset({"VARCHAR"}))
COUNT = Member("BIGINT", frozenset({"UBIGINT"}))
NUMBER = Member("DOUBLE", frozenset({"UBIGINT", "DOUBLE"}))
FLAG = Member("BOOLEAN", frozenset({"BOOLEAN"}))
OBJECT = Member("JSON", frozenset({"OBJECT"}))
# Where it is absent another fact says it; a null would be its word.
OBJECT_OR_ABSENT = Member("JSON", frozenset({"OBJECT", None}))
NOTHING = Member("JSON", _ABSENT)

# The names that objects of facts may have beside those that are read: they change no row of a plain request.
_COMMON = (
    "schema_version kind at request_id attempt tenant tags function function_arn region memory_mb architecture "
    "initialization_type ephemeral_storage_mb max_concurrency front cold_start model schema on_violation stream "
    "deadline_at usage timing lease"
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """The plain shapes of one kind of fact: the paths that are read, and the objects on the way with their names.

    An object without names is one whose other members nobody reads: they only may not be there twice.
    """

    root: str
    members: Mapping[str, Member]
    objects: Mapping[str, str | None]

    @property
    def paths(self) -> list[str]:
        """Where the members lie in the line."""
        return [f"$.{self.root}.{path}" for path in self.members]

    @property
    def object_paths(self) -> list[str]:
        """Where the objects lie in the line; the line is the first."""
        return ["$", *(f"$.{self.root}.{path}".removesuffix(".") for path in self.objects)]

    @property
    def structure(self) -> str:
        """The struct of values, as json_transform takes it."""
        tree: dict[str, Any] = {}
        for path, member in self.members.items():
            if path.endswith("]"):
                continue  # an element as a whole: only its type is looked at
            *parents, name = path.split(".")
            place = tree
            for parent in parents:
                is_list = parent.endswith("]")
                inner = place.setdefault(parent.partition("[")[0], [{}] if is_list else {})
                place = inner[0] if is_list else inner
            place[name] = member.type
        return json.dumps({self.root: tree})

    def is_plain(self, types: Sequence[str | None], names: Sequence[Sequence[str] | None]) -> bool:
        """Whether a fact with these types at `paths` and these names at `object_paths` is read exactly."""
        known: list[str | None] = [None, *self.objects.values()]
        return all(
            json_type in member.json_types
            for json_type, member in zip(types, self.members.values(), strict=True)
        ) and all(
            len(set(found or ())) == len(found or ())
            and (allowed is None or set(allowed.split()) >= set(found or ()))
            for found, allowed in zip(names, known, strict=True)
        )


def shape_of(text: str) -> tuple[list[str | None], list[list[str] | None]]:
    """The types and the names of a shape, which DuckDB writes one behind the other."""
    types, end = json.JSONDecoder().raw_decode(text)
    return types, json.loads(text[end:])


def _attempt(path: str) -> dict[str, Member]:
    counts = (
        f"{path}.usage.{name}_tokens" for name in ("input", "output", "cached_input", "reasoning", "total")
    )
    texts = (
        f"{path}.{name}"
        for name in ("model", "model_returned", "seller", "usage.source", "usage.service_tier")
    )
    flag = {f"{path}.usage.complete": FLAG.optional}
    return {**dict.fromkeys(counts, COUNT.optional), **dict.fromkeys(texts, TEXT.optional), **flag}


# Where it ran is said once, when it starts; a completion says it where nothing was said before.
_ENVIRONMENT = {
    **dict.fromkeys(
        ("function", "function_arn", "region", "architecture", "initialization_type", "front"), TEXT.optional
    ),
    "ephemeral_storage_mb": COUNT.optional,
}
COMPLETED = Shapes(
    "fact",
    {
        "model": TEXT,
        "tags": OBJECT_OR_ABSENT,
        "streamed_bytes": COUNT,
        **_ENVIRONMENT,
        **dict.fromkeys(
            ("tenant", "schema", "outcome", "model_returned", "seller", "cost.total", "lease"),
            TEXT.optional,
        ),
        **dict.fromkeys(("http_status", "violations", "validated_values"), COUNT.optional),
        "saved.output_tokens": COUNT.optional,
        **dict.fromkeys(
            (f"timing.{name}_ms" for name in ("wait", "stream", "validate", "ttft")), NUMBER.optional
        ),
        # Two attempts at most: the first, and a second where there is one.
        "attempts[0]": OBJECT,
        "attempts[1]": OBJECT.optional,
        "attempts[2]": NOTHING,
        **_attempt("attempts[0]"),
        **_attempt("attempts[1]"),
    },
    {
        "": f"{_COMMON} outcome http_status model_returned seller attempts streamed_bytes violations validated_values "
        "saved saved_basis cost price_book_version",
        "timing": "duration_ms wait_ms stream_ms validate_ms ttft_ms ttlt_ms event_loop_gap_ms",
        "cost": None,
        "saved": "output_tokens method",
        **dict.fromkeys(
            ("attempts[0]", "attempts[1]"),
            "attempt model model_returned seller outcome usage timing route service_tier region structured_output",
        ),
        **dict.fromkeys(
            ("attempts[0].usage", "attempts[1].usage"),
            "input_tokens output_tokens cached_input_tokens reasoning_tokens total_tokens source service_tier "
            "complete",
        ),
    },
)
# Of what was said before the completion only what the completion may lack is read.
EARLIER = Shapes(
    "fact",
    {**_ENVIRONMENT, **dict.fromkeys(("tenant", "schema", "lease"), TEXT.optional), "tags": OBJECT_OR_ABSENT},
    {"": _COMMON},
)
REPORT = Shapes(
    "record",
    {
        "status": TEXT.optional,
        "metrics.billedDurationMs": COUNT,
        "metrics.memorySizeMB": COUNT,
        "metrics.maxMemoryUsedMB": COUNT.optional,
        **dict.fromkeys(("metrics.durationMs", "metrics.initDurationMs"), NUMBER.optional),
    },
    {
        "": "requestId status metrics errorType tracing spans",
        "metrics": "durationMs billedDurationMs memorySizeMB maxMemoryUsedMB initDurationMs",
    },
)
