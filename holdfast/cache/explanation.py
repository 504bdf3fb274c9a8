"""What a key is made of, to be read by a person, and why two calls have different keys."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.values.canonical import digest, encode

if TYPE_CHECKING:
    from holdfast.typing import CacheKey

_LONGEST = 60


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Also of one with more digits than Python writes out, for which `reprlib` raises, or names a place in memory: a key it is all the same."""
        try:
            repr(x)
        except ValueError:
            return "<int, too long to be shown>"
        return super().repr_int(x, level)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = _LONGEST


class Part(NamedTuple):
    """One value that counts in a key.

    Attributes:
        name: Its parameter.
        text: What it looks like, cut to 60 characters.
        digest: 16 hex digits over its canonical encoding: equal when, and only when, the value counts as the same.
    """

    name: str
    text: str
    digest: str


def part_of(name: str, value: Any) -> Part:
    """Describe one value; raises NotKeyable as the key itself would."""
    text = _short.repr(value)
    return Part(name, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...", digest(encode(value, where=name)).hex()[:16])


@dataclass(frozen=True, slots=True)
class KeyExplanation:
    """What the key of one call is made of. ``str()`` of it is a table.

    The table shows arguments: think before you log one.

    Attributes:
        task: Module and qualified name of the function.
        code: Its version, or the fingerprint of its code.
        is_pinned: True when ``code`` is a version that the policy gives.
        parts: The values that count, in order.
        ignored: Parameters that the policy leaves out.
        injected: Parameters that the runtime fills, as the call does not pass them; they do not count.
        key: The key.
    """

    task: str
    code: str
    is_pinned: bool
    parts: tuple[Part, ...]
    ignored: tuple[str, ...]
    injected: tuple[str, ...]
    key: CacheKey

    def __str__(self) -> str:
        code = f"{self.code}  {'version of the policy' if self.is_pinned else 'fingerprint of the code; CachePolicy(version=...) pins it'}"
        rows = [("task", self.task, ""), ("code", code, "")]
        rows += [(part.name, part.text, part.digest) for part in self.parts]
        rows += [(name, "ignored", "") for name in self.ignored]
        rows += [(name, "filled by the runtime", "") for name in self.injected]
        rows += [("namespace", self.key.namespace, ""), ("digest", self.key.digest.hex(), "")]
        left = max(len(row[0]) for row in rows)
        middle = max((len(row[1]) for row in rows if row[2]), default=0)
        return "\n".join(f"{name:<{left}}  {text:<{middle}}  {value}".rstrip() for name, text, value in rows)

    def diff(self, other: KeyExplanation) -> str:
        """Say what makes the two keys differ, a line for each difference; ``""`` when they are the same key."""
        if self.key == other.key:
            return ""
        lines = [
            f"{what}: {mine} / {others}"
            for what, mine, others in (("task", self.task, other.task), ("code", self.code, other.code))
            if mine != others
        ]
        mine, others = ({part.name: part for part in explanation.parts} for explanation in (self, other))
        for name in dict.fromkeys((*mine, *others)):
            left, right = mine.get(name), others.get(name)
            if left is None or right is None or left.digest != right.digest:
                lines.append(f"{name}: {_text(left, right)} / {_text(right, left)}")
        return "\n".join(lines)


def _text(part: Part | None, beside: Part | None) -> str:
    """What a part looks like; with its digest where it looks like the other one."""
    if part is None:
        return "does not count"
    return f"{part.text} ({part.digest})" if beside is not None and part.text == beside.text else part.text
