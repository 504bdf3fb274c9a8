"""Where a disk cache is: the folder that is given, or the user's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER_VARIABLE = "HOLDFAST_CACHE_DIR"


def default_folder() -> Path:
    """Where a cache without a path lives: ``$HOLDFAST_CACHE_DIR``, else ``cache`` in holdfast's folder of the user's cache folder."""
    from pathlib import Path  # here and below, as whoever imports holdfast need not have a DiskCache

    given = os.environ.get(_FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs  # only needed where no folder is given

    return Path(platformdirs.user_cache_dir("holdfast")) / "cache"


def given_folder(path: Any) -> Path:
    """The folder that was given.

    Raises:
        PolicyError: It is no path.
    """
    from pathlib import Path

    text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""  # pyright: ignore[reportUnknownArgumentType]
    if not text or "\0" in text:
        raise PolicyError(f"path={path!r}: give a folder, e.g. DiskCache('my-cache'), or leave it out for the user's cache folder")
    return Path(text).absolute()
