"""Who gets in, and what is set aside for them: the access table before a call of the model, and after it.

Without a table everybody whom AWS let through gets in, and nothing is counted. With one, a caller must be known: by IAM
or an authorizer, which the event vouches for, by a direct invocation, which IAM let through, or by an own key.
What is set aside is the most that the request's tokens can cost: its input, schema included, by a low ratio of
characters, its output to the cap. Lambda is counted when it is known: a quarter of an hour of it, which nobody takes,
would be a multiple of the tokens, and refuse what there is room for.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from weir.access.admission import Admission, Reservation, Unauthorized
from weir.access.api_keys import parse_authorization
from weir.access.dynamodb import AccessStoreError
from weir.access.identity import Caller
from weir.access.tenant_item import NANO, Denied, TenantLimits
from weir.outcomes import Outcome
from weir.pricing.quantities import EventSource
from weir.problems import Problem
from weir.providers.routes import Route

if TYPE_CHECKING:
    from weir.access.leases import Lease
    from weir.pricing.price_book import PriceBook

CHARS_PER_TOKEN = 3  # fewer than any language takes: what is set aside should not be too little
# Of a model without a price nobody can say what it may cost; so much is set aside, per million tokens in USD.
UNPRICED_MTOK = Decimal(100)
_MILLION = Decimal(1_000_000)


# The most that a route can be asked: characters that it reads, tokens that it writes.
type MostAsked = tuple[Route, int, int]


class Admitted:
    """A caller who is in: whose request it is, what they may, and what was set aside."""

    __slots__ = ("caller", "lease", "limits", "reservation")

    def __init__(self, caller: Caller, limits: TenantLimits, lease: "Lease | None") -> None:
        self.caller = caller
        self.limits = limits
        self.lease = lease
        self.reservation: Reservation | None = None


class Gate:
    """One process's; `price_book` is asked when money has to be set aside.

    `prepare` loads what that needs, while the table is waited for; called again it has nothing to do.
    """

    def __init__(
        self,
        admission: Admission,
        price_book: Callable[[], "PriceBook | None"],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._admission = admission
        self._price_book = price_book
        self._prepare = prepare

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
                caller = await self._admission.caller(key, self._prepare)
        except Unauthorized as error:
            headers = (("www-authenticate", "Bearer"),)
            raise Problem(Outcome.UNAUTHORIZED, str(error), headers=headers) from None
        except AccessStoreError as error:
            raise Problem(Outcome.UNAUTHORIZED, f"{error}; a key cannot be looked up", status=503) from error
        try:
            limits = await self._admission.limits(caller.tenant, self._prepare)
        except AccessStoreError as error:
            limits = self._without_table(caller.tenant, None, error)
        return Admitted(caller, limits, self._admission.lease(caller.tenant, limits))

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
        max_cost: str | None,
        at: datetime,
        meanwhile: Callable[[], None],
    ) -> None:
        """Set the most that a request can cost aside, by the dearest of `calls`, one of which may answer.

        `max_cost` is in USD, the caller's own limit. `meanwhile` is called while the table is waited for, if it is
        asked at all.

        Raises Problem: 429 where a limit has no room, with the reason.
        """
        limits, tenant = admitted.limits, admitted.caller.tenant
        if limits.counted or max_cost is not None:
            most = most_cost(self._price_book(), calls, max_cost, at)
        if not limits.counted:
            return
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

    async def settle(self, admitted: Admitted, spent_usd: str | None, tokens: int) -> None:
        """Put what was spent in the place of what was set aside; where that fails the ledger does it.

        None is unknown: then it is held to be the most that it could be.
        """
        reservation, admitted.reservation = admitted.reservation, None
        lease, admitted.lease = admitted.lease, None
        reserved = reservation.nano_usd if reservation else 0
        spent = Decimal(reserved) / NANO if spent_usd is None else Decimal(spent_usd)
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


def most_cost(
    book: "PriceBook | None", calls: Sequence[MostAsked], max_cost: str | None, at: datetime
) -> Decimal:
    """What a request can cost at most, in USD: the dearest of `calls`, one of which may answer.

    Raises Problem: 429 where that is more than the caller's own limit, `max_cost`.
    """
    most = max(_most(book, call, at) for call in calls)
    if max_cost is not None and most > Decimal(max_cost):
        detail = f"max_cost: expected at most {max_cost} USD, got a request that may cost {most:.6f}"
        raise _denied(Outcome.BUDGET_EXCEEDED, detail, 0)
    return most


def _most(book: "PriceBook | None", call: MostAsked, at: datetime) -> Decimal:
    route, input_chars, cap = call
    calls = 1 if route.hedge_s is None else 2  # the one that loses has read its prompt, too
    input_tokens = calls * -(-input_chars // CHARS_PER_TOKEN)
    prices = book.token_prices(
        model=route.price_key or route.model, seller=route.seller or book.seller_of(route.base_url), at=at
    ) if book else None  # fmt: skip
    each = []
    for kind, tokens in (("input", input_tokens), ("output", cap)):
        price = prices.kinds.get(kind) if prices else None
        each.append(Decimal(tokens) * (price.at_quantity(input_tokens) if price else UNPRICED_MTOK))
    return sum(each, Decimal(0)) / _MILLION


def _denied(outcome: Outcome, detail: str, retry_after_s: int) -> Problem:
    title = "The budget is spent" if outcome is Outcome.BUDGET_EXCEEDED else "Too many requests"
    headers = (("retry-after", str(retry_after_s)),) if retry_after_s else ()
    return Problem(outcome, detail, status=429, title=title, headers=(*headers, ("x-should-retry", "false")))
