"""What a cold start imports after it has asked the provider: all that validates and prices, in a thread.

Pydantic, the validator and the document's model take longer than all that is needed to ask; imported in a thread while
the provider thinks, and while its first tokens are forwarded, they delay neither. Where nobody waits for INIT (a
snapshot, provisioned concurrency, a server) all is imported there.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class LateImports:
    """One process's; `price_book` loads prices. `ready` says that what validates is there."""

    def __init__(self, price_book: Callable[[], object]) -> None:
        self.ready = False
        self._price_book = price_book
        self._loading: asyncio.Task[None] | None = None
        self._importing: asyncio.Future[None] | None = None

    def at_once(self) -> None:
        """Import all of it, and wait."""
        _validation()
        self.ready = True
        self._prices()

    def begin(self, schema: Callable[[], Any] | None) -> None:
        """Import in a thread, if that was not done: what validates, with `schema`'s model, then prices and metrics."""
        if self._importing is None and not self.ready:
            self._importing = asyncio.get_running_loop().create_future()
            self._loading = asyncio.create_task(self._load(schema, self._importing))

    async def wait(self) -> None:
        """Wait until what validates is there; being cancelled leaves the thread to its work."""
        if not self.ready:
            self.begin(None)
            assert self._importing is not None, "begun a line above"
            await asyncio.shield(self._importing)

    async def _load(self, schema: Callable[[], Any] | None, importing: asyncio.Future[None]) -> None:
        try:
            await asyncio.to_thread(_validation, schema)
        except Exception as error:
            self._importing = None  # the next request tries again
            importing.set_exception(error)
            importing.exception()  # seen, whether anybody waits or not
            return
        self.ready = True
        importing.set_result(None)
        await asyncio.to_thread(self._prices)

    def _prices(self) -> None:
        import aws_lambda_powertools.metrics

        import weir.pricing.cost

        assert weir.pricing.cost and aws_lambda_powertools.metrics, "imported for the final event"
        try:
            self._price_book()
        except Exception:
            pass


def _validation(schema: Callable[[], Any] | None = None) -> None:
    import pydantic_streaming
    import weir.generate.null_as_absent
    import weir.generate.release
    import weir.generate.retry
    import weir.generate.validator_process

    assert weir.generate, "imported for whoever validates"
    if schema is not None:
        pydantic_streaming.plan_for(schema())
