"""Who gets in, and what is set aside for them: the access table before a call of the model, and after it.

Without a table everybody whom AWS let through gets in, and nothing is counted. With one, a caller must be known: by IAM
or an authorizer, which the event vouches for, by a direct invocation, which IAM let through, or by an own key.
What is set aside is the most that the request's tokens can cost: its input, schema included, by a low ratio of bytes to
tokens, its output to the cap, in the tier that it asks for. Lambda is counted when it is known: a quarter of an hour of
it, which nobody takes, would be a multiple of the tokens, and refuse what there is room for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from weir.access.admission import Admission, Reservation, Unauthorized
from weir.access.api_keys import parse_authorization
from weir.access.dynamodb import AccessStoreError
from weir.access.identity import Caller
from weir.access.tenant_item import NANO, Denied, TenantLimits
from weir.generate.params import GenerationParams
from weir.light_tuples import LightTuple
from weir.outcomes import Outcome
from weir.pricing.event_source import EventSource
from weir.problems import Problem
from weir.providers.routes import Route

if TYPE_CHECKING:
    from weir.access.leases import Lease
    from weir.pricing.price_book import PriceBook, TokenKind

BYTES_PER_TOKEN = 3  # of UTF-8: fewer than text takes in any usual script, a token a character among them
IMAGE_TOKENS = 5_000  # as many as providers make of a large one
# Of a model without a price nobody can say what it may cost; so much is set aside, per million tokens in USD.
UNPRICED_MTOK = Decimal(100)
_MILLION = Decimal(1_000_000)
# What a prompt and an answer are billed as, whether the caller asks for it or not.
_READ: Sequence["TokenKind"] = ("input", "cache_write")
_WRITTEN: Sequence["TokenKind"] = ("output", "reasoning")


class MostAsked(LightTuple):
    """The most that a route can be asked: bytes of UTF-8 and images that it reads, tokens that it writes, and in which
    service tier."""

    route: Route
    text_bytes: int
    images: int
    output_tokens: int
    tier: str | None


class Admitted:
    """A caller who is in: whose request it is, what they may, and what was set aside."""

    __slots__ = ("caller", "lease", "limits", "reservation")

    def __init__(self, caller: Caller, limits: TenantLimits) -> None:
        self.caller = caller
        self.limits = limits
        self.lease: Lease | None = None
        self.reservation: Reservation | None = None


class Gate:
    """One process's; `price_book` is asked when money has to be set aside."""

    def __init__(self, admission: Admission, price_book: Callable[[], "PriceBook | None"]) -> None:
        self._admission = admission
        self._price_book = price_book

    async def admit(
        self, vouched: Caller | None, source: EventSource | None, authorization: str | None
    ) -> Admitted:
        """Find the caller and their limits. Raises Problem: 401 where nobody is known, 503 where nobody can say."""
        caller = vouched
        if caller is None and source == "direct":
            caller = Caller("direct", "lambda:InvokeFunction", "iam")
        try:
            if caller is None:
                key = parse_authorization(authorization)
                if key is None:
                    raise Unauthorized(
                        "authorization: expected a signed request, or Bearer with a key of this stack"
                    )
                caller = await self._admission.caller(key)
        except Unauthorized as error:
            headers = (("www-authenticate", "Bearer"),)
            raise Problem(Outcome.UNAUTHORIZED, str(error), headers=headers) from None
        except AccessStoreError as error:
            raise Problem(Outcome.UNAUTHORIZED, f"{error}; a key cannot be looked up", status=503) from error
        try:
            limits = await self._admission.limits(caller.tenant)
        except AccessStoreError as error:
            limits = self._without_table(caller.tenant, None, error)
        return Admitted(caller, limits)

    def begin(self, admitted: Admitted) -> None:
        """Have a request that is to be answered draw on a lease, if its tenant comes often; `settle` ends that."""
        admitted.lease = self._admission.lease(admitted.caller.tenant, admitted.limits)

    def allow(self, admitted: Admitted, route: Route) -> None:
        """Refuse a model that the tenant may not ask. Raises Problem: 403; 429 where it may have no output at all."""
        limits, tenant = admitted.limits, admitted.caller.tenant
        if limits.models is not None and route.name not in limits.models:
            allowed = ", ".join(sorted(limits.models)) or "none"
            detail = f"model: expected one that {tenant} may ask ({allowed}), got {route.name!r:.80}"
            raise Problem(Outcome.UNAUTHORIZED, detail, status=403, title="Not allowed")
        if limits.max_output_tokens == 0:
            raise _denied(Outcome.RATE_LIMITED, "output tokens: expected none, got a request for some", 0)

    async def reserve(
        self,
        admitted: Admitted,
        request_id: str,
        calls: Sequence[MostAsked],
        at: datetime,
        meanwhile: Callable[[], None],
    ) -> None:
        """Set the most that a request can cost aside, by the dearest of `calls`, one of which may answer.

        `meanwhile` is called while the table is waited for, if it is asked at all.

        Raises Problem: 429 where a limit has no room, with the reason.
        """
        limits, tenant = admitted.limits, admitted.caller.tenant
        if not limits.counted:
            return
        book = self._price_book()
        most = max(most_cost(book, call, at) for call in calls)
        try:
            answer = await self._admission.reserve(
                tenant, request_id, most, limits, admitted.lease, meanwhile
            )
        except AccessStoreError as error:
            admitted.limits = self._without_table(tenant, limits, error)
            return
        if isinstance(answer, Denied):
            money = answer.reason in ("month", "day")
            outcome = Outcome.BUDGET_EXCEEDED if money else Outcome.RATE_LIMITED
            raise _denied(outcome, answer.detail, answer.retry_after_s)
        admitted.reservation = answer

    async def settle(self, admitted: Admitted, spent: Decimal, tokens: int, *, at_least: bool) -> None:
        """Put what was spent, in USD, in the place of what was set aside; where that fails the ledger does it.

        Where it is only known that it was `at_least` that, no less stays spent than was set aside.
        """
        reservation, admitted.reservation = admitted.reservation, None
        lease, admitted.lease = admitted.lease, None
        reserved = reservation.nano_usd if reservation else 0
        if at_least:
            spent = max(spent, Decimal(reserved) / NANO)
        try:
            if lease is not None:
                await self._admission.end(lease, reserved, spent, tokens)
            elif reservation is not None:
                await self._admission.settle(reservation, spent, tokens)
        except AccessStoreError:
            pass  # what is held is in the table, and the ledger settles it by its rows

    async def aclose(self) -> None:
        """Return what no request needs any more; where that fails the ledger does it."""
        try:
            await self._admission.aclose()
        except AccessStoreError:
            pass

    def _without_table(
        self, tenant: str, limits: TenantLimits | None, error: AccessStoreError
    ) -> TenantLimits:
        small = self._admission.without_table(tenant, limits)
        if small is None:
            detail = f"{error}; this tenant's limits are nearly used up, or 0, and it has to wait"
            raise _denied(Outcome.BUDGET_EXCEEDED, detail, 30)
        return small


def affordable(
    book: "PriceBook | None", calls: Sequence[MostAsked], max_cost: str, at: datetime
) -> list[MostAsked]:
    """Those of `calls` that cost no more than the caller's own limit, `max_cost` in USD.

    Raises Problem: 429 where the first, which is asked for, may cost more.
    """
    costs = [most_cost(book, call, at) for call in calls]
    if costs[0] > Decimal(max_cost):
        detail = f"max_cost: expected at most {max_cost} USD, got a request that may cost {costs[0]:.6f}"
        raise _denied(Outcome.BUDGET_EXCEEDED, detail, 0)
    return [call for call, most in zip(calls, costs, strict=True) if most <= Decimal(max_cost)]


def most_cost(book: "PriceBook | None", call: MostAsked, at: datetime) -> Decimal:
    """What a request to one route can cost at most, in USD."""
    route = call.route
    model = route.price_key or route.model
    seller = route.seller or (book.seller_of(route.base_url) if book else None)
    input_tokens = -(-call.text_bytes // BYTES_PER_TOKEN) + call.images * IMAGE_TOKENS
    calls = 1 if route.hedge_s is None else 2  # the one that loses has read its prompt, too
    prices = [
        book.token_prices(model=model, seller=seller, tier=tier, at=at)
        for tier in dict.fromkeys((None, call.tier))  # it may be served in the usual one all the same
    ] if book else []  # fmt: skip
    most = Decimal(0)
    for kinds, tokens in ((_READ, calls * input_tokens), (_WRITTEN, call.output_tokens)):
        found = [each.kinds[kind] for each in prices if each for kind in kinds if kind in each.kinds]
        dearest = max((price.at_quantity(input_tokens) for price in found), default=UNPRICED_MTOK)
        most += tokens * dearest
    return most / _MILLION


def tier_asked(request: GenerationParams, route: Route) -> str | None:
    """The service tier that a request names, by its own member or by one that goes to the provider as it is."""
    extra = {**route.extra_body, **request.extra_body}
    names = ("service_tier", "serviceTier", "speed")
    named = request.service_tier or next((extra[name] for name in names if name in extra), None)
    tier = named.get("type") if isinstance(named, Mapping) else named
    return tier if isinstance(tier, str) else None


def _denied(outcome: Outcome, detail: str, retry_after_s: int) -> Problem:
    title = "The budget is spent" if outcome is Outcome.BUDGET_EXCEEDED else "Too many requests"
    headers = (("retry-after", str(retry_after_s)),) if retry_after_s else ()
    return Problem(outcome, detail, status=429, title=title, headers=(*headers, ("x-should-retry", "false")))
