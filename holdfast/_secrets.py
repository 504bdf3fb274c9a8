"""`Secret` marks what no trace or line may show; the values so marked are masked wherever a text that leaves repeats them.

A value that was given for a marked parameter often comes back where nobody marked anything: in the text of an exception, in a URL. So the
texts in it are remembered, the latest `MOST` of the process, and `masked` looks for them, as written and as URLs, JSON and Python write them.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 256
SHORTEST = 6
_MOST_TRIED = 32
_PIECE = 1000
_MOST_PIECES = 16
_MOST_LOOKED_AT = 1000


class Secret:
    """Marks a parameter, a result or a field that traces and lines must never show: ``Annotated[str, Secret]``.

    >>> from typing import Annotated
    >>> from holdfast import Secret, resilient
    >>> @resilient(capture="values")
    ... def login(user: str, code: Annotated[str, Secret]) -> None: ...

    Captured, it stands there as ``[redacted]``; and texts of six characters and more in it are masked wherever else they turn up, such as in
    the message of an exception. Cache and journal are not concerned: they keep values that they need.
    """


_known: dict[str, tuple[str, ...]] = {}
_texts: tuple[str, ...] = ()
_starts: frozenset[str] = frozenset()
_lock = threading.Lock()


def hidden(value: Any) -> Any:
    """What observers get in place of a marked value, whose texts are remembered."""
    for text in _texts_in(value):
        for start in range(0, min(len(text), _PIECE * _MOST_PIECES), _PIECE):  # a document in pieces: no text that leaves shows more of it
            if len(piece := text[start : start + _PIECE]) >= SHORTEST:
                _remember(piece)
    return Secret


def masked(text: str, mask: str) -> str:
    """``text`` with all that is remembered replaced by ``mask``."""
    texts = _texts
    if not texts or len(text) < len(texts[-1]) or (len(texts) > _MOST_TRIED and not _may_hold_one(text)):
        return text
    for known in texts:
        if known in text:
            text = text.replace(known, mask)
    return text


def masked_beginning(text: str, mask: str, room: int) -> str:
    """`masked`, for a text of which no more than about ``room`` characters will be shown, and so no more is looked at than that takes."""
    longest = len(_texts[0]) if _texts else 0
    if len(text) <= room + longest:
        return masked(text, mask)
    made = masked(text[: room + longest], mask)
    return made[: max(0, len(made) - longest)]  # where it is cut, the beginning of one may be left


def _may_hold_one(text: str) -> bool:
    """Whether one of many may begin anywhere in it: 300 characters take 40 us, where looking for 256 texts takes 180."""
    starts = _starts
    for at in range(len(text) - SHORTEST + 1):  # noqa: SIM110 - half the time that any() takes
        if text[at : at + SHORTEST] in starts:
            return True
    return False


def _remember(text: str) -> None:
    global _texts, _starts  # noqa: PLW0603 - replaced as a whole, so that readers need no lock
    with _lock:
        is_new = text not in _known
        _known[text] = _ways_to_write(text) if is_new else _known.pop(text)  # the latest is the last
        if len(_known) > MOST:
            del _known[next(iter(_known))]
        if is_new:
            every = {way for ways in _known.values() for way in ways}
            _starts = frozenset(way[:SHORTEST] for way in every)  # before the texts, which are read first
            _texts = tuple(sorted(every, key=len, reverse=True))  # one that holds another is masked whole


def _ways_to_write(text: str) -> tuple[str, ...]:
    if text.isalnum() and text.isascii():
        return (text,)
    import json  # both only when needed: `import holdfast` stays light
    from urllib.parse import quote, quote_plus

    ascii_only, readable = json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]
    in_urls = text.encode("utf-8", "replace")
    return tuple({text, quote(in_urls, safe=""), quote(in_urls), quote_plus(in_urls), ascii_only, readable, repr(text)[1:-1]})


def _texts_in(value: Any) -> Iterator[str]:
    """The texts in a value, containers opened; not in objects of the user's, whose code would run."""
    waiting, looked_at = [value], 0
    while waiting and looked_at < _MOST_LOOKED_AT:
        each = waiting.pop()
        looked_at += 1
        match each:
            case str():
                yield str.__str__(each)
            case bytes() | bytearray():
                yield bytes(each).decode("utf-8", "replace")
            case dict():
                waiting += dict[Any, Any].values(each)  # pyright: ignore[reportUnknownArgumentType] - anything may be in it
            case list() | tuple() | set() | frozenset():
                waiting += each
            case _:
                pass


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - a lock another thread held at the fork stays locked for ever
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_lock)
