"""What a SQLite file of ours must be, and what readers say of one that is not so yet; see `holdfast.values._sqlite`."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.errors import StoreError


class Schema(NamedTuple):
    """What a file must be, and how it becomes so.

    Attributes:
        name: What to call the file in errors, for example ``trace store``.
        application_id: The file's identity, a 32-bit number of its kind alone.
        migrations: SQL scripts; script ``n`` takes a file from version ``n`` to ``n + 1``. Only ever append.
    """

    name: str
    application_id: int
    migrations: tuple[str, ...]


class EmptyStoreError(StoreError):
    """A reader found no file, or one in which nothing has been written yet."""


class OldStoreError(StoreError):
    """A reader found a file that an older holdfast wrote; opening it for writing upgrades it."""
