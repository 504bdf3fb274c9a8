"""What rows are called and tagged by: a key as the name of a row and back, a namespace as a range of names, tags as one text."""

from __future__ import annotations

from holdfast.typing import CacheKey

_DIGEST = 16


def row_name(key: CacheKey) -> bytes:
    """The name of a key's row."""
    return key.namespace.encode() + b"\0" + key.digest


def key_of(name: bytes) -> CacheKey | None:
    """The key that a row is named for; None for a name that is not ours."""
    try:
        return CacheKey(name[: -_DIGEST - 1].decode(), name[-_DIGEST:]) if name[-_DIGEST - 1 : -_DIGEST] == b"\0" else None
    except UnicodeDecodeError:
        return None


def range_of(namespace: str | None) -> tuple[bytes, bytes]:
    """The names of a namespace's rows: the first, and one after the last; up to its first ``*``, if it has one. UTF-8 has no byte 0xff."""
    start, star, _ = ("", "*", "") if namespace is None else namespace.partition("*")
    if namespace is None or star:
        return start.encode(), start.encode() + b"\xff"
    return namespace.encode() + b"\0", namespace.encode() + b"\x01"


def tag_text(tags: tuple[str, ...]) -> str:
    r"""Tags as one text for the tag column, such that ``instr`` of one tag's text finds exactly that tag.

    >>> tag_text(("a", "b"))
    '\na\n\nb\n'
    """
    return "".join(f"\n{tag.replace('%', '%25').replace(chr(10), '%0A')}\n" for tag in tags)


def tags_from_text(text: str) -> tuple[str, ...]:
    """The inverse of `tag_text`, whatever stands before it."""
    _, _, rest = text.partition("\n")
    return tuple(part.replace("%0A", "\n").replace("%25", "%") for part in rest[:-1].split("\n\n")) if rest else ()
