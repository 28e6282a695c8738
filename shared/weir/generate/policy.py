"""What is done when a provider fails: one table, the same for every protocol, from which the documentation is printed.

Two rules stand above the table. Nothing is asked again once the model's first token has come: it is being paid for, and
the caller may have seen it. And no wait reaches beyond the deadline. Every call is an attempt of its own on the bill;
one that the provider may have worked on without our knowing what it took is marked `maybe_served`.

`python -m weir.generate.policy` prints the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from weir.light_tuples import LightTuple
from weir.providers.failed import Failed, FailureKind
from weir.providers.routes import Route

__all__ = ["Caps", "Clocks", "Cooldown", "Policy", "Rhythm", "Step", "next_step", "tables"]

type OtherModel = Literal["yes", "larger", "no"]


class Clocks(LightTuple):
    """How long to wait, in seconds; each is a setting, in WEIR_CLOCKS or in the models' file."""

    connect_s: float = 5.0
    headers_s: float = 60.0
    first_token_s: float = 120.0
    between_tokens_s: float = 60.0
    total_s: float = 840.0


class Caps(LightTuple):
    """How much is taken, in bytes or characters, in every mode; what is over it ends the request."""

    read_bytes: int = 67_108_864
    held_chars: int = 2_000_000
    sent_bytes: int = 50_000_000
    event_bytes: int = 1_048_576
    blank_chars: int = 10_000


class Rhythm(LightTuple):
    """The waits that are no settings: `prelude_s` until the caller has its status whatever the provider does,
    `pulse_s` between heartbeats and progress facts, `usage_s` for the counts behind a finish reason, `body_s` for the
    end of a request's body."""

    prelude_s: float = 10.0
    pulse_s: float = 10.0
    usage_s: float = 2.0
    body_s: float = 30.0


FIRST_WAIT_S = 0.5
COOLDOWN_FAILURES = 3
COOLDOWN_S = 5.0


class Policy(LightTuple):
    """All of it, as one value; `retries` are those of one question to one route."""

    clocks: Clocks = Clocks()
    caps: Caps = Caps()
    rhythm: Rhythm = Rhythm()
    retries: int = 2
    longest_wait_s: float = 20.0


class Rule(LightTuple):
    """What follows on one kind of failure before the first token: how often the same route is asked again, and whether
    another one is."""

    sign: str
    again: int
    other: OtherModel


RULES: Mapping[FailureKind, Rule] = {
    "rate_limited": Rule("429; throttling, in any protocol's words", 2, "yes"),
    "overloaded": Rule("409, 425, 503, 529; overloaded, not ready", 2, "yes"),
    "timeout": Rule("408, 504; no connection, status or first token in time", 1, "yes"),
    "server": Rule("500, 502, 424; the connection broke before an answer", 2, "yes"),
    "unreadable": Rule("an answer that is none of the protocol's", 0, "yes"),
    "quota": Rule("402; 429 of an exhausted quota or balance", 0, "yes"),
    "key": Rule("401, 403; after the key was fetched anew, once", 0, "yes"),
    "context": Rule("413; 400 of a prompt that is too long", 0, "larger"),
    "request": Rule("400, 404, 422: what was asked is wrong", 0, "no"),
    "filtered": Rule("the provider's content filter", 0, "no"),
}


class Step(LightTuple):
    """The next attempt: of which route, after which wait."""

    route: Route
    wait_s: float


def next_step(
    failed: Failed,
    route: Route,
    others: Sequence[Route],
    made: int,
    left_s: float,
    policy: Policy,
    jitter: Callable[[], float],
) -> Step | None:
    """What to do after `failed` on `route`, before any token came; None to give up.

    `others` are the fallbacks that were not asked yet and are not cooling down, `made` the retries of this route so
    far; `left_s` is what the deadline leaves; `jitter` gives a number from 0 to 1.
    """
    rule = RULES[failed.kind]
    if made < min(rule.again, policy.retries) and failed.retryable == "yes":
        wait_s = failed.retry_after_s
        if wait_s is None:  # full jitter: those who failed together do not come back together
            wait_s = FIRST_WAIT_S * 2**made * jitter()
        if wait_s <= policy.longest_wait_s and wait_s < left_s:
            return Step(route, wait_s)
    if rule.other != "no" and left_s > 0:
        for other in others:
            if rule.other == "yes" or _larger(other, route):
                return Step(other, 0.0)
    return None


def _larger(other: Route, route: Route) -> bool:
    """Whether a route takes more context than the one that was too small; unknown counts as no."""
    return other.context_tokens is not None and other.context_tokens > (route.context_tokens or 0)


class Cooldown:
    """Which routes are left alone for a while, in this process: after some failures in a row that are the route's own.

    `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until_s: dict[str, float] = {}

    def note(self, route: Route, failed: Failed | None) -> None:
        """Take in how a call of the route went; None is well."""
        if failed is None or RULES[failed.kind].other != "yes":
            self._failures.pop(route.name, None)
            return
        failures = self._failures.get(route.name, 0) + 1
        self._failures[route.name] = failures
        if failures >= COOLDOWN_FAILURES:
            self._failures.pop(route.name)
            self._until_s[route.name] = self._clock() + COOLDOWN_S

    def cooling(self, route: Route) -> bool:
        """Whether the route is to be left alone, where another one can answer."""
        return self._clock() < self._until_s.get(route.name, 0.0)


_MEANS = {
    "connect_s": "a connection to the provider, TLS included",
    "headers_s": "the provider's status, from the request's last byte",
    "first_token_s": "the first token, thinking included, from the status",
    "between_tokens_s": "the next token; pings and comments are none, thinking is",
    "total_s": "the whole request, retries included",
    "read_bytes": "read of one answer, after decompression",
    "held_chars": "text held of one answer; beyond ASCII counts twice",
    "sent_bytes": "sent to the caller",
    "event_bytes": "one event of a provider's stream",
    "blank_chars": "white space in a row, where a document is due",
}


def tables() -> str:
    """The policy in Markdown, as the documentation shows it."""
    lines = ["| failure, before the first token | ask the same again | ask the next model |", "|---|---|---|"]
    for kind, rule in RULES.items():
        again = ("no", "once", "twice")[rule.again]
        other = {"yes": "yes", "larger": "one of a larger context", "no": "no"}[rule.other]
        lines.append(f"| `{kind}`: {rule.sign} | {again} | {other} |")
    lines += [
        "| no first token within the model's `hedge_s` | beside it, once: the first to answer is taken | no |",
        "| anything after the first token | no | no |",
        "",
        f"A retry waits as long as the provider asks (`retry-after-ms`, `retry-after`, its own hint), at most "
        f"{Policy().longest_wait_s:g} s, else a random part of {FIRST_WAIT_S:g} s, then of {FIRST_WAIT_S * 2:g} s, and "
        f"never beyond the deadline. A route that failed {COOLDOWN_FAILURES} times in a row is left alone for "
        f"{COOLDOWN_S:g} s where another one can answer.",
        "",
        "`hedge_s` is off unless a model sets it, and refused where hanging up does not stop the provider's meter: the "
        "call that lost is hung up on, and is a line of the bill with what it may have cost.",
        "",
        "| clock | default | waits for |",
        "|---|---|---|",
    ]
    for name, seconds in Clocks()._asdict().items():
        lines.append(f"| `{name}` | {seconds:g} | {_MEANS[name]} |")
    lines += ["", "| cap | at most | of |", "|---|---|---|"]
    for name, most in Caps()._asdict().items():
        what, _, unit = name.partition("_")
        lines.append(f"| {what} | {most:,} {unit} | {_MEANS[name]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(tables())
