"""Long calls in an event loop: the twins whose names end in ``_async``, and `in_thread` for all others."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from picchu import _picchu
from picchu.exceptions import Cancelled

__all__ = ["in_thread"]

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Makes a call in another thread and waits for it without blocking the event loop.

    Where the task is cancelled, so is the call: what is done is kept, as after Ctrl-C.

    >>> import asyncio
    >>> asyncio.run(picchu.in_thread(picchu.open_dataset, "dataset")).path.name
    'dataset'
    """
    import asyncio

    token = _picchu.CancelToken()

    def work() -> R:
        token.enter()
        try:
            return call(*args, **kwargs)
        finally:
            token.leave()

    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        token.cancel()
        # The thread lets go first: what it holds, a dataset's lock for example, is free then.
        with suppress(Cancelled):
            await working
        raise


def twin(call: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The same call for an event loop."""

    @wraps(call)
    async def asynchronous(*args: P.args, **kwargs: P.kwargs) -> R:
        return await in_thread(call, *args, **kwargs)

    asynchronous.__name__ = f"{call.__name__}_async"
    asynchronous.__qualname__ = f"{call.__qualname__}_async"
    asynchronous.__doc__ = f"`{call.__name__}` for an event loop; cancelling the task ends it."
    return asynchronous
