"""Failures as bytes: what an exception was, so that it can be raised again by a later process.

The class is found again only where it is loaded already, and only if it is an Exception; its ``__init__`` is not run. Whatever stands
in the way, the failure still comes back, as a `ReplayedError` with the name and text of the original.
"""

from __future__ import annotations

import sys
from typing import Any

from holdfast.errors import CorruptRecord, NotSerializable, ReplayedError
from holdfast.values.codec import MsgpackCodec
from holdfast.values.names import kind_name
from holdfast.values.raising import VERDICT, rebuild_exception, take_apart
from holdfast.values.remains import Remains, describe

_codec = MsgpackCodec()
_LONGEST_CHAIN = 8


def encode_failure(error: Exception, *, verdict: tuple[bool, str] | None = None) -> bytes:
    """Encode an exception: class, arguments, attributes, notes, cause, and the members of a group; no traceback.

    Never raises. Of attributes that cannot be stored, `holdfast.values.remains.Remains` take the place, and a note names them.

    Args:
        error: The exception.
        verdict: Whether it is transient, and why, as judged with everything at hand that may now be left out; it comes back with the
            exception. None when nobody has judged it.
    """
    record = _record(error, _LONGEST_CHAIN)
    if verdict is not None:
        record["verdict"] = list(verdict)
    return _codec.encode(record)


def decode_failure(data: bytes) -> Exception:
    """The exception that `encode_failure` was given, or a `ReplayedError` that stands for it.

    Raises:
        CorruptRecord: The bytes are something else.
    """
    return _failure(_codec.decode(data))


def _record(error: BaseException, chain: int) -> dict[str, Any]:
    cls = type(error)
    lost: list[str] = []
    remains: dict[str, Any] = {}
    args, state = _parts(error)
    verdict = state.pop(VERDICT, None)
    members: Any = getattr(error, "exceptions", None) if issubclass(cls, BaseExceptionGroup) else None
    if members is not None:
        args = args[:1]  # the rest are the members
    cause = error.__cause__
    return {
        "module": _text(cls.__module__),
        "name": _text(cls.__qualname__),
        "text": _text(error),
        "args": [_kept(value, f"args[{i}]", lost) for i, value in enumerate(args)],
        "state": {name: value for name, value in state.items() if _is_kept(value, name, lost, remains)},
        "remains": remains,
        "verdict": verdict,
        "members": None if members is None or not chain else [_record(each, chain - 1) for each in members],
        "cause": _record(cause, chain - 1) if isinstance(cause, Exception) and chain else None,
        "lost": lost,
    }


def _parts(error: BaseException) -> tuple[list[Any], dict[str, Any]]:
    try:
        return take_apart(error)
    except Exception:  # noqa: BLE001 - an exception class may break anything; its name and text are kept in any case
        return [], {}


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - see _parts
        return f"<text not available: {type(error).__name__}>"


def _is_kept(value: Any, name: str, lost: list[str], remains: dict[str, Any] | None = None) -> bool:
    try:
        _codec.encode(value)
    except NotSerializable:
        lost.append(name)
        if remains is not None:
            remains[name] = list(describe(value))
        return False
    return True


def _kept(value: Any, name: str, lost: list[str]) -> Any:
    return value if _is_kept(value, name, lost) else f"<{kind_name(value)}>"


def _failure(record: Any) -> Exception:
    try:
        error = _rebuilt(record) or ReplayedError(f"{record['module']}.{record['name']}", record["text"])
        _add_notes(error, record)
        if record.get("verdict") is not None:
            error.__dict__[VERDICT] = tuple(record["verdict"])
        if record["cause"] is not None:
            error.__cause__ = _failure(record["cause"])
    except (TypeError, KeyError, AttributeError) as problem:
        raise CorruptRecord(f"a stored failure is not one: {problem}") from problem
    return error


def _rebuilt(record: dict[str, Any]) -> Exception | None:
    cls = _loaded_class(record["module"], record["name"])
    if cls is None:
        return None
    args = record["args"]
    if record["members"] is not None:
        args = [*args, [_failure(each) for each in record["members"]]]
    try:
        error = rebuild_exception(cls, args, record["state"] | _remains(record))
    except Exception:  # noqa: BLE001 - the class has changed, or wants other arguments: the caller makes a ReplayedError
        return None
    return error if isinstance(error, Exception) else None


def _remains(record: dict[str, Any]) -> dict[str, Remains]:
    """What stands in for attributes that were left out; records of an earlier version have none."""
    return {name: Remains(kind, parts) for name, (kind, parts) in record.get("remains", {}).items()}


def _loaded_class(module: str, qualified_name: str) -> type[Exception] | None:
    """The Exception class of that name, if its module is loaded; plain dictionary look-ups, so that no code runs."""
    found: Any = sys.modules.get(module)
    for name in qualified_name.split("."):
        names: dict[str, Any] = getattr(found, "__dict__", {})
        found = names.get(name)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return None
    return found if (found.__module__, found.__qualname__) == (module, qualified_name) else None


def _add_notes(error: Exception, record: dict[str, Any]) -> None:
    """Notes go in by hand: `add_note` looks for attributes, which a half-made exception may answer by raising (urllib's HTTPError)."""
    notes: list[str] = list(error.__dict__.get("__notes__", ()))
    if isinstance(error, ReplayedError) and record["name"] != "ReplayedError":
        notes += record["state"].get("__notes__", ())
    if record["lost"]:
        notes.append(f"Raised again from a store, which could not hold: {', '.join(record['lost'])}")
    if notes:
        error.__dict__["__notes__"] = notes
