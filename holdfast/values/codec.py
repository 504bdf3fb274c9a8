"""Turns results into bytes and back, exactly: what comes out equals what went in, type included, or `NotSerializable` was raised.

Plain values (`holdfast.values.plain`) are MessagePack as msgspec writes it. Everything else is a MessagePack extension: a code of the
closed table in `holdfast.values.kinds` with the value's parts, or `_CLASS` with the name of one of the user's classes and its parts.
Extensions stand apart from the data, so no dict of the user's can be taken for a tag. Names are looked up in the codec's own table
(`holdfast.values.registry`): nothing is imported or called because data says so, and bad data is `CorruptRecord`, whatever is wrong.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.errors import CorruptRecord, NotSerializable, PolicyError
from holdfast.values.kinds import BY_CODE, kind_of
from holdfast.values.names import a_class
from holdfast.values.plain import are_plain, is_plain
from holdfast.values.refusal import MAX_DEPTH, Refused, told_of, too_deep
from holdfast.values.registry import Table, class_kind, register, registered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.typing import Codec
    from holdfast.values.kinds import Kind
    from holdfast.values.registry import ClassKind

__all__ = ["MsgpackCodec", "PickleCodec", "codec_for", "register"]

_CLASS = 100
_FRAME = 8  # levels of tuples that `packed` allows around contents
_INT_RANGE = range(-(2**63), 2**64)
_UNCHANGED = frozenset({bool, type(None), float, bytes})
_ANNOTATE = re.compile(r"(name \S+ in )the task's return annotation, or ")
_BEYOND_MSGPACK = (UnicodeEncodeError, OverflowError)

_pack = msgspec.msgpack.Encoder().encode
_Ext = msgspec.msgpack.Ext


def codec_for(annotation: Any = Any) -> Codec:
    """The codec for results of this (resolved) return annotation; the same object for the same annotation.

    Args:
        annotation: Classes it names, anywhere inside, are rebuilt, as are registered ones. Any: only the latter.

    >>> codec_for().decode(codec_for().encode((1, {"a", "b"}))) == (1, {"a", "b"})
    True
    """
    try:
        return _codec_for(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return MsgpackCodec(annotation)


@lru_cache(maxsize=1024)
def _codec_for(annotation: Any) -> Codec:
    return MsgpackCodec(annotation)


def packed(frame: tuple[Any, ...], contents: Iterable[Any]) -> bytes | None:
    """What any codec makes of ``frame``, and quicker; None when only `MsgpackCodec.encode` can say.

    Args:
        frame: Tuples, exact text and numbers that the caller has put around ``contents``; tuples come back as lists.
        contents: What is to be looked at.
    """
    try:
        return _pack(frame) if are_plain(contents, MAX_DEPTH - _FRAME) else None
    except _BEYOND_MSGPACK:
        return None


class MsgpackCodec:
    """MessagePack with a closed set of tags.

    Attributes:
        id: 1.
    """

    id: int = 1

    def __init__(self, annotation: Any = Any) -> None:
        """A codec that also rebuilds the classes named in ``annotation``."""
        self._table = Table([annotation])
        self._decoder = msgspec.msgpack.Decoder(ext_hook=self._rebuild)

    def encode(self, value: Any, /) -> bytes:
        """Encode a result.

        Raises:
            NotSerializable: A part of it would not come back the same. The text names the part and the fixes.
        """
        try:
            if is_plain(value, MAX_DEPTH):
                return _pack(value)
        except _BEYOND_MSGPACK:
            pass  # text with lone surrogates, a large integer: both have a kind
        try:
            return _pack(self._lower(value, MAX_DEPTH))
        except Refused as refused:
            raise _not_serializable(refused) from None
        except RecursionError:
            raise _not_serializable(too_deep()) from None

    def decode(self, data: bytes, /) -> Any:
        """Decode what `encode` made.

        Raises:
            CorruptRecord: The bytes are something else, or name a class that is not (or no longer) admitted or has changed.
        """
        try:
            return self._decoder.decode(data)
        except Exception as error:
            raise CorruptRecord(f"a stored value cannot be decoded: {error}") from error

    def _lower(self, value: object, depth: int) -> Any:
        """``value`` in terms of what msgspec writes exactly."""
        cls = type(value)
        if cls in _UNCHANGED or (cls is str and _is_utf8(value)) or (cls is int and value in _INT_RANGE):
            return value
        if depth <= 0:
            raise too_deep()
        if cls is list:
            return self._lower_items(value, depth - 1)
        if cls is dict:
            return self._lower_dict(value, depth - 1)
        kind = kind_of(cls)
        if kind is not None:
            return _Ext(kind.code, _pack(self._lower(kind.reduce(value), depth)))  # the parts are no level of their own
        return self._lower_instance(value, self._kind_of_class(cls), depth - 1)

    def _lower_items(self, values: Any, depth: int) -> list[Any]:
        lowered: list[Any] = []
        try:
            for value in values:
                lowered.append(self._lower(value, depth))  # noqa: PERF401 - the length is the index when one is refused
        except Refused as refused:
            refused.through_item(len(lowered))
            raise
        return lowered

    def _lower_dict(self, value: Any, depth: int) -> Any:
        """A map where all keys are text, else an extension with keys and values in turn."""
        lowered = [(self._lower(key, depth), self._lower_at(key, item, depth)) for key, item in value.items()]
        if all(type(key) is str for key in value) and all(type(key) is str for key, _ in lowered):
            return dict(lowered)
        return _Ext(_DICT.code, _pack([part for pair in lowered for part in pair]))

    def _lower_at(self, key: Any, value: Any, depth: int) -> Any:
        try:
            return self._lower(value, depth)
        except Refused as refused:
            refused.through_item(key)
            raise

    def _lower_instance(self, value: Any, kind: ClassKind, depth: int) -> Any:
        content, attributes = kind.dump(value)
        lowered: dict[str, Any] = {}
        for name, part in attributes.items():
            try:
                lowered[name] = self._lower(part, depth)
            except Refused as refused:
                refused.through_attribute(name)
                raise
        return _Ext(_CLASS, _pack([kind.name, self._lower(content, depth), lowered]))

    def _kind_of_class(self, cls: type) -> ClassKind:
        kind = self._table.by_class.get(cls) or registered().by_class.get(cls)
        if kind is None:
            raise told_of(cls) or _unknown_class(cls)
        if self._named(kind.name) is not kind:
            raise Refused(f"is {a_class(cls)}, one of two classes of that name", fix="give one of them another name")
        return kind

    def _named(self, name: str) -> ClassKind:
        return self._table.by_name.get(name) or registered().by_name[name]

    def _rebuild(self, code: int, data: memoryview) -> Any:
        """Msgspec's hook: the value of an extension."""
        payload = self._decoder.decode(data)
        if code != _CLASS:
            return BY_CODE[code].rebuild(payload)
        name, content, attributes = payload
        return self._named(name).load(content, attributes)


_DICT: Kind = BY_CODE[4]


def _is_utf8(text: Any) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown_class(cls: type) -> Refused:
    name = cls.__name__
    if class_kind(cls) is None:
        fix = f"return plain data, or say how to store it with holdfast.register({name}, dump=..., load=...); an annotation is not enough"
    else:
        fix = f"name {name} in the task's return annotation, or call holdfast.register({name})"
    return Refused(f"is {a_class(cls)}", fix=fix)


def refused_as(what: str, error: NotSerializable, within: str, name: str, annotation: str | None = None) -> NotSerializable:
    """The refusal of a value that was encoded inside another one, in the words of whoever gave it.

    Args:
        what: Whose it is, for example ``the input of plan``.
        error: The refusal of the whole.
        within: Where it stood in there, for example ``result[0]``.
        name: What it is to its user, for example ``input``.
        annotation: Where naming its class would do; None: nowhere, it has to be registered.
    """
    where = name + error.where.removeprefix(within)
    text = where + str(error).removeprefix(error.where)
    text = _ANNOTATE.sub("" if annotation is None else rf"\1{annotation}, or ", text)
    return NotSerializable(f"{what} cannot be checkpointed: {text}", where=where)


def _not_serializable(refused: Refused) -> NotSerializable:
    path = refused.path("result")
    fix = refused.fix and f": {refused.fix}"
    return NotSerializable(f"{path} {refused.problem}, which would not come back from a store as it is{fix}", where=path)


class PickleCodec:
    """Pickle, for results of classes out of reach of the tags; every record is signed, and checked before anything is loaded.

    Unpickling runs code: whoever knows the secret can run code in every process that reads the store.

    Attributes:
        id: 2.
    """

    id: int = 2

    def __init__(self, *, secret: bytes) -> None:
        """Sign with ``secret``, at least 16 bytes that are kept apart from the store.

        Raises:
            PolicyError: The secret is missing, short, or not bytes.
        """
        if not isinstance(secret, bytes) or len(secret) < _SHORTEST_SECRET:
            raise PolicyError(f"PickleCodec needs secret= of at least {_SHORTEST_SECRET} bytes, such as secrets.token_bytes(32)")
        self._key = blake2b(secret, digest_size=32, person=b"holdfast-pickle").digest()

    def __repr__(self) -> str:
        return "PickleCodec(secret=...)"

    def encode(self, value: Any, /) -> bytes:
        """Pickle and sign.

        Raises:
            NotSerializable: The value cannot be pickled.
        """
        import pickle

        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:
            raise NotSerializable(f"result cannot be pickled: {error}", where="result") from error
        return self._sign(data) + data

    def decode(self, data: bytes, /) -> Any:
        """Check and unpickle.

        Raises:
            CorruptRecord: The signature is wrong, or the pickle names what is no longer there.
        """
        import pickle

        signature, pickled = data[:_SIGNATURE], data[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(pickled)):
            raise CorruptRecord("a stored pickle has the wrong signature")
        try:
            return pickle.loads(pickled)  # noqa: S301 - signed by us, checked above
        except Exception as error:
            raise CorruptRecord(f"a stored pickle cannot be loaded: {error}") from error

    def _sign(self, data: bytes) -> bytes:
        return blake2b(data, digest_size=_SIGNATURE, key=self._key).digest()


_SHORTEST_SECRET = 16
_SIGNATURE = 32
