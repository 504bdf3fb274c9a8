"""Tags that were invalidated: a mark for each, so that forgetting a million entries is one row, and takes effect at once in every process.

A row with tags begins their text with the number of the newest mark there was when it was stored. It is invalid once one of its tags has a newer one.
Numbers count up and no clock is asked. Sweeping removes what is invalid, and then the mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.cache._names import tag_text, tags_from_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.values._sqlite import Connection

TABLES = ("CREATE TABLE IF NOT EXISTS HoldfastMark (number INTEGER PRIMARY KEY AUTOINCREMENT, tag TEXT UNIQUE NOT NULL)",)
_NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'HoldfastMark'"


def mark(connection: Connection, tags: Iterable[str]) -> None:
    """Make all rows that are there with one of the tags invalid."""
    connection.executemany("INSERT OR REPLACE INTO HoldfastMark (tag) VALUES (?)", [(tag,) for tag in tags])


def text_of(connection: Connection, tags: tuple[str, ...]) -> str | None:
    """The text of a row's tags. Call it in the transaction that stores it."""
    if not tags:
        return None
    newest = connection.execute(_NEWEST).fetchone()
    return f"{0 if newest is None else newest[0]}{tag_text(tags)}"


def is_invalid(connection: Connection, text: bytes) -> bool:
    """Whether one of the tags that a row has was invalidated since it was stored."""
    number, _, rest = text.decode(errors="replace").partition("\n")
    tags = tags_from_text(f"\n{rest}")
    known = int(number) if number.isascii() and number.isdigit() else 0
    wanted = ", ".join("?" * len(tags))
    found = connection.execute(f"SELECT 1 FROM HoldfastMark WHERE number > ? AND tag IN ({wanted})", (known, *tags))  # noqa: S608 - question marks
    return found.fetchone() is not None


def oldest(connection: Connection) -> tuple[int, str] | None:
    """The mark to sweep next: its number and what rows that it makes invalid have in their tags' text."""
    found = connection.execute("SELECT number, tag FROM HoldfastMark ORDER BY number LIMIT 1").fetchone()
    return None if found is None else (found[0], tag_text((found[1],)))


def remove(connection: Connection, number: int) -> None:
    """Remove a mark that no row is older than."""
    connection.execute("DELETE FROM HoldfastMark WHERE number = ?", (number,))
