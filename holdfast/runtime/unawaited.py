"""A body that returns a coroutine has not run yet: what is in it would be neither retried, limited in time nor cached.

It is refused, not awaited in our own way: ``def`` stays ``def``. A plain wrapper around an ``async def`` may just as well run it to its
end (``asyncio.run``), which nobody can see at decoration, and a function that is sync or async depending on what it returns is neither.
"""

from __future__ import annotations

import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

from holdfast.values.names import place

if TYPE_CHECKING:
    from holdfast.policies.plan import Plan


COROUTINE: type = CoroutineType
"""What a body is not to return: ``type(value) is COROUTINE`` is 10 ns of a call, and needs no frame."""


def refuse_coroutine(plan: Plan, coroutine: Any) -> NoReturn:
    """Close what the body of ``plan`` returned, so that Python does not warn of it, too, and say what to change.

    Raises:
        TypeError: Always.
    """
    coroutine.close()
    said = f"{place(plan.fn)} returned a coroutine, which no retry, timeout or cache would reach"
    if plan.is_async:
        raise TypeError(f"{said}: await it before you return it")
    if inspect.iscoroutinefunction(inspect.unwrap(plan.fn)):
        raise TypeError(
            f"{said}: a decorator below holdfast's made a plain def of this async def; make its wrapper async def, too, and await there"
        )
    raise TypeError(f"{said}: make it async def and await it there")
