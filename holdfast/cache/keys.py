"""Keys: what of a call tells its cached value from all others.

A key is a namespace (whose values: module, qualified name, and version or code fingerprint) and a digest of the bound arguments. Two calls
share a key when they would bind the same values, whatever way they were written: ``f(1, 2)``, ``f(1, b=2)`` and ``f(a=1, b=2)`` are one.
"""

from __future__ import annotations

import functools
import inspect
from copy import copy
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast.errors import KeyFuncError, NotKeyable, PolicyError
from holdfast.typing import CacheKey
from holdfast.values.canonical import digest, encode, encode_arguments
from holdfast.values.fingerprint import fingerprint
from holdfast.values.names import place, qualified_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.cache.explanation import KeyExplanation
    from holdfast.policies.cache import CachePolicy
    from holdfast.values.binding import Binder

MOST_RECENT = 256
"""Keys of a task that are kept, so that a call made again need not hash its arguments."""
LONGEST_RECENT = 256
"""Bytes of canonical arguments above which they are not."""

_new_key: Callable[[type[CacheKey], tuple[str, bytes]], CacheKey] = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

_ANSWER = "Return what tells calls apart: text, a number, or a tuple of such."


class KeyMaker:
    """Makes the keys of one task; compiled once, at decoration.

    Args:
        fn: The user's function, method, partial or callable.
        binder: Binds its arguments.
        policy: Says what counts in a key.
        skip: Parameters that the runtime fills; they do not count.

    Attributes:
        private: Variables captured by ``fn`` that have no content, so that no other process can make the same keys.

    Raises:
        PolicyError: ``policy.ignore`` names something that is no parameter.
    """

    def __init__(self, fn: Callable[..., Any], binder: Binder, policy: CachePolicy, *, skip: frozenset[str] = frozenset()) -> None:
        self._fn = fn
        self.task = qualified_name(_named(fn))
        self._names = binder.names
        self._ignored = frozenset(policy.ignore)
        self._bind = binder.bind
        self._key_func = policy.key_func
        private: list[str] = []
        self.code = str(policy.version) if policy.version is not None else fingerprint(fn, private)
        self.private = tuple(private)
        self.is_pinned = policy.version is not None
        self.namespace = f"{self.task}@{self.code}".encode("utf-8", "backslashreplace").decode()
        self._owned = _owned_by(fn)
        self._check_ignored()
        self._count(skip)

    def _count(self, skip: frozenset[str]) -> None:
        self._skipped = skip
        self._kept = tuple(name for name in self._names if name not in self._ignored and name not in skip)
        self._counts_all = self._kept == self._names and not self._owned
        self._counted = (*self._owned, *self._kept)
        self._positions = tuple(self._names.index(name) for name in self._kept)
        self._recent: dict[bytes, CacheKey] = {}
        self._seed = blake2b(b"key_func" if self._key_func is not None else encode(self._counted), digest_size=16)

    def counting(self, names: frozenset[str]) -> KeyMaker:
        """Makes the keys of calls that pass these parameters themselves, instead of leaving them to the runtime: then they count."""
        maker = copy(self)  # not made anew: what the function captures may have changed since its code was fingerprinted
        maker._count(self._skipped - names)  # noqa: SLF001 - one of our own
        return maker

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
        """The key of a call.

        Raises:
            NotKeyable: An argument has no content to tell it by; the text names the task, the parameter and the ways out.
            KeyFuncError: ``key_func`` raised, or its answer cannot be a key.
            TypeError: The arguments do not fit the function.
        """
        try:
            content = self._content(args, kwargs)
        except NotKeyable as error:
            raise NotKeyable(f"{place(self._fn)}: {error}", where=error.where) from None
        return self._recent.get(content) or self._digested(content)

    def _digested(self, content: bytes) -> CacheKey:
        """The key of canonical bytes that are not among the recent ones.

        Those are kept because whoever asks for the same thing again shall not wait for the hash: it is 0.5 of 1.2 us.
        """
        seed = self._seed.copy()  # 0.2 us less than hashing names and values together
        seed.update(content)
        key = _new_key(CacheKey, (self.namespace, seed.digest()))
        if len(content) <= LONGEST_RECENT:
            if len(self._recent) >= MOST_RECENT:
                self._recent.clear()
            self._recent[content] = key
        return key

    def explain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> KeyExplanation:
        """What the key of a call is made of; raises what `make` raises."""
        from holdfast.cache.explanation import KeyExplanation, part_of  # few programs ask

        key = self.make(args, kwargs)
        if self._key_func is not None:
            value = self._call_key_func(args, kwargs)
            parts = [part_of(f"{qualified_name(self._key_func)}(...)", value)]
        else:
            bound = dict(zip(self._names, self._bind(*args, **kwargs), strict=True)) | self._owned
            parts = [part_of(name, bound[name]) for name in self._counted]
        return KeyExplanation(
            task=self.task,
            code=self.code,
            is_pinned=self.is_pinned,
            parts=tuple(parts),
            ignored=tuple(name for name in self._names if name in self._ignored),
            injected=tuple(name for name in self._names if name in self._skipped),
            key=key,
        )

    def digests(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, bytes] | None:
        """A digest of each value that counts in the key of a call; None where a ``key_func`` makes it. Raises what `make` raises."""
        if self._key_func is not None:
            return None
        bound = dict(zip(self._names, self._bind(*args, **kwargs), strict=True)) | self._owned
        return {name: digest(encode(bound[name], where=name)) for name in self._counted}

    def _content(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        values = self._bind(*args, **kwargs)
        if self._key_func is not None:
            return self._encoded(self._call_key_func(args, kwargs))
        if not self._counts_all:
            values = (*self._owned.values(), *[values[position] for position in self._positions])
        return encode_arguments(self._counted, values)

    def _call_key_func(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._key_func is None:
            raise RuntimeError("there is no key_func")
        try:
            return self._key_func(*args, **kwargs)
        except Exception as error:
            raise KeyFuncError(f"key_func of {place(self._fn)} raised {type(error).__name__}: {error}") from error

    def _encoded(self, answer: Any) -> bytes:
        """The bytes of what ``key_func`` answered; None is what a function without a return answers to every call."""
        if answer is None:
            text = f"key_func of {place(self._fn)} answered None, and all such calls would share one entry. {_ANSWER}"
            raise KeyFuncError(text)
        try:
            return encode(answer, where="its answer", remedy=_ANSWER)
        except NotKeyable as error:
            if inspect.iscoroutine(answer):
                answer.close()  # it would warn that it was never awaited
            raise KeyFuncError(f"key_func of {place(self._fn)}: {error}") from None

    def _check_ignored(self) -> None:
        unknown = sorted(self._ignored - {*self._names, *self._owned})
        if unknown:
            known = ", ".join((*self._owned, *self._names)) or "none"
            raise PolicyError(f"ignore={tuple(unknown)!r} names no parameter of {place(self._fn)}: its parameters are {known}")
        self._owned = {name: value for name, value in self._owned.items() if name not in self._ignored}


def _named(fn: Callable[..., Any]) -> Any:
    """What gives a callable its name: the function in a partial, the class of an object with ``__call__``."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if hasattr(fn, "__qualname__") else type(fn)


def _owned_by(fn: Callable[..., Any]) -> dict[str, Any]:
    """Values that a callable brings along and that count like arguments: the object of a bound method, the arguments of a partial.

    They are encoded at each call, because an object may have changed meanwhile. (A partial's keywords are defaults of its signature.)
    """
    owned: dict[str, Any] = {}
    while isinstance(fn, functools.partial):
        owned |= {f"partial[{position}]": value for position, value in enumerate(fn.args)}
        fn = fn.func
    if inspect.ismethod(fn):
        owned["self"] = fn.__self__
    elif not hasattr(fn, "__qualname__"):
        owned["self"] = fn
    return owned
