"""What can go wrong with a store, in one word, judged from what SQLite, the system and diskcache raise."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_REASONS = {  # by SQLite's primary result code
    1: "broken",  # ERROR: a table is missing
    5: "locked",  # BUSY
    6: "locked",  # LOCKED
    8: "read_only",  # READONLY
    11: "broken",  # CORRUPT
    13: "full",  # FULL
    26: "broken",  # NOTADB
}
_ERRNOS = {errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EFBIG: "full", errno.EROFS: "read_only", errno.EACCES: "read_only"}

_REMEDIES = {
    "locked": "another process is writing to it: try again when that is done",
    "full": "make room on the disk and try again",
    "read_only": "make its folder writable for this user and try again",
}


class Trouble(Exception):  # noqa: N818 - never leaves holdfast.cache: the cache turns it into a miss and a note
    """Something the store could not do.

    Attributes:
        reason: ``locked``, ``full``, ``read_only``, ``broken``, ``poisoned``, ``refused`` or ``io``.
        text: What happened, for a person.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


@contextlib.contextmanager
def telling(path: Path) -> Generator[None]:
    """Turn whatever goes wrong inside into Trouble about ``path``."""
    try:
        yield
    except Exception as error:  # diskcache lets TypeErrors and AssertionErrors out of a damaged file
        raise judge(error, path) from error


def judge(error: BaseException, path: Path) -> Trouble:
    """What an error means for the cache, judged by SQLite's result code or the errno that lies beneath it."""
    text = f"cache {path}: {str(error) or type(error).__name__}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Trouble):
            return cause
        code = getattr(cause, "sqlite_errorcode", None)
        if code is not None:
            text = f"cache {path}: {cause}"
            return Trouble(_REASONS.get(code & 0xFF, "io"), text)
        if isinstance(cause, OSError) and cause.errno is not None:
            return Trouble(_ERRNOS.get(cause.errno, "refused" if cause.errno == errno.ELOOP else "io"), text)
        cause = cause.__cause__ or cause.__context__
    return Trouble("refused" if isinstance(error, HoldfastError) else "broken", text)


def not_forgotten(trouble: Trouble) -> StoreError:
    """What a purge raises that could not be done."""
    remedy = _REMEDIES.get(trouble.reason, "mend that and try again, or delete the folder")
    return StoreError(f"{trouble.text}; so not all that was to be forgotten is, and it may be served again: {remedy}")
