"""Trace files: opened, unpacked, and told apart from what they are not."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from io import BufferedIOBase
    from os import PathLike

_GZIP = b"\x1f\x8b"
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd -d", b"\xfd7zXZ": "xz -d", b"BZh": "bunzip2", b"PK\x03\x04": "unzip"}


@contextmanager
def reading(path: str | PathLike[str], place: Callable[[], str]) -> Generator[BufferedIOBase]:
    """The bytes of a trace file; what is wrong with them, a ValueError, becomes a TraceError that names the file and the place.

    Args:
        path: The file.
        place: Tells where the reader is.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is not loaded for this
        head = file.read(8)
        file.seek(0)
        for magic, command in _PACKED.items():
            if head.startswith(magic):
                raise refusal(path, "byte 0", f"it is compressed in a way that is not read here: {command} it first")
        try:
            if head.startswith(_GZIP):
                with gzip.open(file) as unpacked:
                    yield unpacked
            else:
                yield file
        except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise refusal(path, place(), str(error)) from None


def refusal(path: str | PathLike[str], where: str, why: str) -> TraceError:
    """The error about one place of a file."""
    return TraceError(f"{path}, {where}: {why}", where=where)
