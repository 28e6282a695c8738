"""SnapStart: the hooks on both sides of a snapshot.

Decided here: order and error reports are awslambdaric's (before-snapshot hooks last registered first,
after-restore hooks in order; exit 64 and 65). Sockets do not live through a snapshot and a copied random
state would repeat itself in every restored environment, so both are renewed first. Hooks come from the
registries of `snapshot_restore_py`, which managed runtimes provide; a hook may be a coroutine function.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from asgiric.failure import Failure
from asgiric.log import write_failure
from asgiric.runtime_api import RuntimeApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asgiric.runtime_api import RuntimeApi

    Hook = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

BEFORE_SNAPSHOT_STATUS = 64
AFTER_RESTORE_STATUS = 65


async def snapshot_and_restore(api: RuntimeApi) -> int:
    """Run the hooks, wait for the restore, run the others; 0, or the status to exit with."""
    before, after = _registries()
    try:
        await _run_hooks(reversed(before))
        api.close()
        await api.wait_for_restore()
    except Exception as error:
        failure = Failure.of_exception(error, category="Runtime.BeforeSnapshotError")
        return await _report(failure, api.post_init_error, BEFORE_SNAPSHOT_STATUS)
    api.close()
    if "random" in sys.modules:
        sys.modules["random"].seed()
    try:
        await _run_hooks(after)
    except Exception as error:
        failure = Failure.of_exception(error, category="Runtime.AfterRestoreError")
        return await _report(failure, api.post_restore_error, AFTER_RESTORE_STATUS)
    return 0


def _registries() -> tuple[list[Hook], list[Hook]]:
    # Who registered a hook has imported it; nobody else needs it.
    registry = sys.modules.get("snapshot_restore_py")
    if registry is None:
        return [], []
    return list(registry.get_before_snapshot()), list(registry.get_after_restore())


async def _run_hooks(hooks: Iterable[Hook]) -> None:
    for function, args, kwargs in hooks:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            await result


async def _report(failure: Failure, post: Callable[[Failure], Any], status: int) -> int:
    write_failure("a snapshot hook failed", failure)
    try:
        await post(failure)
    except RuntimeApiError as error:
        write_failure("the failure could not be told", Failure.of_exception(error))
    return status
