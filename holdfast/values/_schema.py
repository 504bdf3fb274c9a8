"""What a SQLite file of ours must be, and what readers say of one that is not so yet; see `holdfast.values._sqlite`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Schema(NamedTuple):
    """What a file must be, and how it becomes so.

    Attributes:
        name: What to call the file in errors, for example ``trace store``.
        application_id: The file's identity, a 32-bit number of its kind alone.
        migrations: SQL scripts; script ``n`` takes a file from version ``n`` to ``n + 1``. Only ever append.
        views: For an older version, what shows a file of it to a reader as one of the newest: temporary views in the place of tables,
            since a reader does not migrate. For short looks only: a file may be upgraded behind them. To be revised with each migration.
    """

    name: str
    application_id: int
    migrations: tuple[str, ...]
    views: Mapping[int, str] = MappingProxyType({})

    def checked(self, path: Path, identity: int, version: int, *, is_empty: bool) -> int:
        """The schema version of a file.

        Args:
            path: The file, for the errors.
            identity: Its ``application_id``.
            version: Its ``user_version``.
            is_empty: Whether it has no table.

        Returns:
            0 for an empty file.

        Raises:
            StoreError: It is not ours, or newer than this code.
        """
        if identity == 0 and is_empty:
            return 0
        if identity != self.application_id:
            raise StoreError(f"{path} is a SQLite file, but not a holdfast {self.name}: choose another path")
        if version > len(self.migrations):
            raise StoreError(
                f"the {self.name} {path} was written by a newer holdfast (schema {version}, this one knows "
                f"{len(self.migrations)}): upgrade holdfast, or choose another path"
            )
        return version

    def for_reader(self, version: int, path: Path) -> str:
        """The script by which a reader sees a file of this version as one of the newest; ``""`` when it is that.

        Args:
            version: The file's.
            path: The file, for errors.

        Raises:
            EmptyStoreError: Nothing has been written in it yet.
            OldStoreError: It has to be upgraded first.
        """
        if version == 0:
            raise EmptyStoreError(f"the {self.name} {path} is empty: nothing has been recorded in it yet")
        if version == len(self.migrations):
            return ""
        if version not in self.views:
            raise OldStoreError(f"the {self.name} {path} has schema {version} of an older holdfast: it is upgraded when next written to")
        return self.views[version]


class EmptyStoreError(StoreError):
    """A reader found no file, or one in which nothing has been written yet."""


class OldStoreError(StoreError):
    """A reader found a file that an older holdfast wrote; opening it for writing upgrades it."""
