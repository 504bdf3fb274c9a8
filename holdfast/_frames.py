"""Keeps our frames out of the tracebacks of whoever uses holdfast.

Every public function through which an error leaves passes it to `trimmed` first: a function, plain or ``async``, by being decorated with
`trims`, a generator or a quick path by an ``except BaseException`` of its own, which costs nothing until something is raised. An error
that is raised again as it is does not gain the frame it is raised in, so the user sees the line that called us, and next the line of
theirs that we called. `trims` also says in our words what Python says of an unknown option or one without a name.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from holdfast._options import misfit
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

E = TypeVar("E", bound=BaseException)
P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = __file__.rpartition("_frames")[0]  # without pathlib, which would be 4 of the 90 ms that importing holdfast takes
_TESTING = PACKAGE + "testing/"  # scripted failures stand for functions of the user's


def trimmed(error: E) -> E:
    """The error, its traceback without our frames.

    Where our code itself raised it, a `HoldfastError` says in words what to do and keeps no frame of ours; any other keeps the last: it
    may be our mistake. Set by `with_traceback`: a frozen dataclass does not let its attributes be assigned.
    """
    BaseException.with_traceback(error, _of_users(error.__traceback__, is_told=issubclass(type(error), HoldfastError)))  # theirs may refuse
    return error


def bared(error: E) -> E:
    """The same for one that was `trimmed` before it was raised again: of its traceback only the beginning is ours by now."""
    theirs = _past_ours(error.__traceback__)
    if theirs is None:
        return trimmed(error)
    BaseException.with_traceback(error, theirs)
    return error


def trims(fn: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of the public API that may raise: see `trimmed`. Of a generator only the call is meant, not what it yields."""
    if inspect.iscoroutinefunction(fn):
        return cast("Callable[P, R]", _trims_async(fn))

    @functools.wraps(fn)
    def door(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except BaseException as error:
            _reword(error, fn, args, kwargs)
            trimmed(error)
            raise

    return door


def _trims_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def door(*args: Any, **kwargs: Any) -> Any:
        try:
            return await fn(*args, **kwargs)
        except BaseException as error:
            _reword(error, fn, args, kwargs)
            trimmed(error)
            raise

    return door


def _reword(error: BaseException, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Where ``fn`` was not entered because the arguments do not fit it: say which option is wrong, and keep no frame."""
    traceback = error.__traceback__
    if not isinstance(error, TypeError) or traceback is None or traceback.tb_next is not None:
        return
    text = misfit(fn, args, kwargs)
    if text is not None:
        error.args = (text,)
    error.__traceback__ = None


def _of_users(traceback: TracebackType | None, *, is_told: bool) -> TracebackType | None:
    """Unlink our frames. Where they end the traceback keep the last one, unless the error tells enough without."""
    first = at = _past_ours(traceback)
    if at is None:
        return None if is_told else _last(traceback)
    while (following := at.tb_next) is not None:
        beyond = _past_ours(following)
        if beyond is None:
            at.tb_next = None if is_told else _last(following)
            break
        if beyond is not following:
            at.tb_next = beyond
        at = beyond
    return first


def _past_ours(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and _is_ours(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


@functools.lru_cache(maxsize=1024)
def _is_ours(path: str) -> bool:
    return path.startswith(PACKAGE) and not path.startswith(_TESTING)


def _last(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
