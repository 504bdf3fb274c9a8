"""The signs and the wording of durations that the terminal output is made of, for terminals with and without Unicode."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from rich.cells import cell_len


class Marks(NamedTuple):
    """One set of signs."""

    ok: str
    failed: str
    retried: str
    answered: str
    stopped: str
    running: str
    unknown: str
    other: str
    wait: str
    more: str
    dot: str
    at_most: str
    micro: str
    branch: str
    last: str
    through: str
    bar: str


UNICODE = Marks("✓", "✗", "↻", "⚡", "■", "►", "?", "·", "⏳", "…", "·", "≤", "µs", "├─ ", "└─ ", "│  ", "━")
ASCII = Marks("+", "x", "~", "*", "-", ">", "?", ".", "..", "...", "|", "<=", "us", "|- ", "`- ", "|  ", "=")


LONGEST_ID = 40
"""Cells of a thread's id in a table: a UUID has 36 letters."""


def cells(text: str) -> int:
    """How many columns of a terminal ``text`` takes; East Asian letters and most pictures take two."""
    return cell_len(text)


def plain(text: str) -> str:
    """The first line of ``text``, without anything that could steer a terminal: it may come from a stranger's server."""
    return printable(text.strip().splitlines()[0] if text.strip() else "")


def printable(line: str) -> str:
    """A line without anything that could steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in line)


def shown_id(name: str, marks: Marks = UNICODE) -> str:
    r"""The id of a thread in one line of a table: what does not print is escaped, and the middle of a long one is left out.

    >>> shown_id("trip\n1"), shown_id("order-" + "7" * 60)
    ('trip\\n1', 'order-7777777777777…7777777777777777777')
    """
    text = _escaped(name)
    if cells(text) <= LONGEST_ID:
        return text
    half = LONGEST_ID // 2
    while cells(text[:half] + marks.more + text[-half:]) > LONGEST_ID:
        half -= 1
    return text[:half] + marks.more + text[-half:]


def _escaped(text: str) -> str:
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    r"""``\n``, ``\x1b``, ``\u200b``: what Python and bash both read as that letter; bash takes ``\x85`` for a byte."""
    return letter.encode("unicode_escape").decode() if letter.isascii() else f"\\U{ord(letter):08x}"


def shell_word(text: str) -> str:
    r"""What to type in a shell for ``text``, in one line: ``trip-1``, ``'a b'``, ``$'a\nb'``."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + _escaped(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def took(seconds: float, marks: Marks = UNICODE) -> str:
    """A duration in at most three digits: ``12 µs``, ``1.5 ms``, ``41 ms``, ``0.41 s``, ``12.3 s``, ``2 min 05 s``, ``3 h 20 min``."""
    if seconds < 0.0009995:  # noqa: PLR2004 - here and below the numbers are the rule
        return f"{seconds * 1e6:.0f} {marks.micro}"
    if seconds < 0.1:  # noqa: PLR2004
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"  # noqa: PLR2004
    if seconds < 59.95:  # noqa: PLR2004
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def age(seconds: float) -> str:
    """An age in its largest unit: ``12 s``, ``4 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def time_left(seconds: float) -> str:
    """The nearest number of the largest unit: ``7 d`` still a minute after it was seven days."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds > 0.99 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def size(number: float) -> str:
    """Bytes in at most three digits: ``512 B``, ``1.5 kB``, ``41 kB``, ``3.2 MB``."""
    unit = "B"
    for unit in ("B", "kB", "MB", "GB"):  # noqa: B007 - the last one stands for all that is larger
        if number < 999.5:  # noqa: PLR2004 - here and below the numbers are the rule
            break
        number /= 1000
    return f"{number:.1f} {unit}" if unit != "B" and number < 9.95 else f"{number:.0f} {unit}"  # noqa: PLR2004


def count(number: int, noun: str) -> str:
    """``1 retry``, ``2 retries``, ``3 calls``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("ry") else f"{number} {noun}s"
