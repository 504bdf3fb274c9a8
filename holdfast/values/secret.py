"""The secret that seals stored records: from the environment, or from a private file that is made at first use.

The file lies in the user's configuration folder, apart from the caches it guards: who can write to a cache cannot thereby forge records.
"""

from __future__ import annotations

import errno
import os
import stat
from hashlib import blake2b
from pathlib import Path

from holdfast.errors import PolicyError, StoreError

_VARIABLE = "HOLDFAST_SECRET"
_FOLDER_VARIABLE = "HOLDFAST_CONFIG_DIR"
_FILE = "secret"
_SHORTEST = 16
_OTHERS = 0o077


def load_secret() -> bytes:
    """The 32 bytes that seal records in this process.

    Made from ``HOLDFAST_SECRET``, for processes that share a store without sharing a home folder; else from the file ``secret`` in
    ``HOLDFAST_CONFIG_DIR`` or the user's configuration folder, which is created with fresh random content when missing.

    Raises:
        PolicyError: ``HOLDFAST_SECRET`` has fewer than 16 characters.
        StoreError: The file belongs to someone else, can be read by others, cannot be created, or does not hold a secret.
    """
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return _from_text(given)
    path = _folder() / _FILE
    try:
        return _read(path)
    except FileNotFoundError:
        _create(path)
        return _read(path)


def _from_text(text: str) -> bytes:
    if len(text) < _SHORTEST:
        raise PolicyError(
            f"{_VARIABLE} has {len(text)} characters, at least {_SHORTEST} are needed: "
            "take the output of `python -c 'import secrets; print(secrets.token_hex())'`, or unset it to use a private file"
        )
    return blake2b(os.fsencode(text), digest_size=32, person=b"holdfast-secret").digest()


def _folder() -> Path:
    given = os.environ.get(_FOLDER_VARIABLE)
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_config_dir("holdfast", appauthor=False))


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else str(error)
        raise StoreError(f"the secret {path} cannot be read ({reason}): {_WAY_OUT}") from error
    try:
        _check_private(path, os.fstat(descriptor))
        text = os.read(descriptor, 1024).strip()
    finally:
        os.close(descriptor)
    if len(text) < _SHORTEST:
        raise StoreError(f"the secret {path} is empty or cut short: delete it, and a new one is made (what was stored with it is lost)")
    return _from_text(os.fsdecode(text))


def _check_private(path: Path, status: os.stat_result) -> None:
    if os.name != "posix":  # Windows keeps others out of the user's folder by inherited access lists
        return
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"the secret {path} is not a file: {_WAY_OUT}")
    if status.st_uid != os.geteuid():
        raise StoreError(f"the secret {path} belongs to user {status.st_uid}, not to you: {_WAY_OUT}")
    if status.st_mode & _OTHERS:
        raise StoreError(f"the secret {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}): run `chmod 600 {path}`")


def _create(path: Path) -> None:
    """Make the file, unless another process does so first: it appears whole or not at all, and only ever once."""
    draft = path.with_name(f"{_FILE}.{os.getpid()}.{os.urandom(8).hex()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32).hex().encode() + b"\n")
                file.flush()
                os.fsync(descriptor)
            _publish(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        return  # theirs is as good
    except OSError as error:
        raise StoreError(f"the secret {path} cannot be created ({error}): {_WAY_OUT}") from error


def _publish(draft: Path, path: Path) -> None:
    """Give the finished file its name; FileExistsError when there is one already."""
    if os.name == "nt":
        draft.rename(path)  # refuses to overwrite there
    else:
        os.link(draft, path)


_WAY_OUT = f"set {_VARIABLE} to a text of at least {_SHORTEST} characters, or {_FOLDER_VARIABLE} to a folder of your own"
