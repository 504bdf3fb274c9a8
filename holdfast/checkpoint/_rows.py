"""Rows of a checkpoint store: their checksums, and the values that stand in them or in ``blobs``.

A checksum is a BLAKE2b of 16 bytes without a key. It is there to notice damage, not forgery: payloads are decoded by a codec that builds
nothing but plain values and registered classes, and whoever can write to this private file can write to the program's other files too.
With a secret, a run could not be resumed where the secret is not: after a move to another machine, or in a container with a fresh home.

What it covers: everything that identifies the row, everything in it, each part preceded by its length, and of a value in ``blobs`` the
digest under which it stands there. The content of a blob is checked against that digest when it is read.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from holdfast.errors import NotSerializable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.typing import RunRecord

INLINE = 1024
"""Bytes of the largest value that stands in its row: more would thin out the pages through which rows are found."""
LARGEST = 999_000_000
"""Bytes of the largest value: SQLite's own limit for a row (SQLITE_MAX_LENGTH, 10**9), less room for the rest of it."""

Cell: TypeAlias = bytes | int | None
"""A value as its column holds it: itself, the id of a blob, or nothing."""

_STEP_LENGTHS = struct.Struct(">10I")
_STEP = blake2b(digest_size=16, person=b"holdfast-step")
_RUN = blake2b(digest_size=16, person=b"holdfast-run")
_FLOAT = struct.Struct(">d")
_TIMES = struct.Struct(">dd")


def content_digest(content: bytes) -> bytes:
    """The 32 bytes under which ``content`` stands in ``blobs``."""
    return blake2b(content, digest_size=32, person=b"holdfast-blob").digest()


def proof(content: bytes | None) -> bytes:
    """What a row's checksum covers of one of its values, when the content itself is at hand."""
    if content is None:
        return b"-"
    return b"=" + content if len(content) <= INLINE else b"@" + content_digest(content)


def step_checksum(
    run_id: bytes,
    scope: bytes,
    name: bytes,
    fingerprint: bytes,
    occurrence: int,
    kind: bytes,
    history: bytes,
    code: bytes,
    at: float,
    payload: bytes,
) -> bytes:
    """The checksum of a step, its texts encoded; ``payload`` is the `proof` of its payload."""
    parts = (run_id, scope, name, fingerprint, b"%d" % occurrence, kind, history, code, _FLOAT.pack(at), payload)
    checksum = _STEP.copy()
    checksum.update(_STEP_LENGTHS.pack(*map(len, parts)) + b"".join(parts))
    return checksum.digest()


def run_checksum(run: RunRecord, values: Iterable[bytes]) -> bytes:
    """The checksum of a run; ``values`` are the `proof` of its input, output, saved value and error.

    An untraced run's is what it was before there were traces: rows of an older schema stay good.
    """
    texts = (run.run_id, run.thread_id, run.entry, run.code, run.status, run.base)
    traced = (run.trace.encode(),) if run.trace else ()
    parts = (*(text.encode() for text in texts), _TIMES.pack(run.created, run.updated), *values, *traced)
    checksum = _RUN.copy()
    checksum.update(struct.pack(f">{len(parts)}I", *map(len, parts)))
    checksum.update(b"".join(parts))
    return checksum.digest()


@lru_cache(maxsize=1024)
def encoded(text: str) -> bytes:
    """``text`` as a row's checksum covers it: the same few names, kinds and codes come again and again.

    Raises:
        UnicodeEncodeError: It holds half a surrogate pair.
    """
    return text.encode()


@lru_cache(maxsize=1024)
def decoded(data: bytes) -> str:
    """The text that is `encoded` so.

    Raises:
        UnicodeDecodeError: None is.
    """
    return data.decode()


def check_size(content: bytes | None, what: str) -> None:
    """Refuse what no row can hold, before anything is made of it.

    Raises:
        NotSerializable: It is larger than `LARGEST`.
    """
    if content is not None and len(content) > LARGEST:
        raise NotSerializable(
            f"{what} takes {len(content):,} bytes, and a checkpoint store holds at most {LARGEST:,}: keep it elsewhere and return where it is",
            where=what,
        )


def value_size(column: str) -> str:
    """SQL for the bytes of a value that stand in its row."""
    return f"CASE typeof({column}) WHEN 'blob' THEN length({column}) ELSE 0 END"
