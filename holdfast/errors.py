"""Every error holdfast raises on its own account, one class per thing a caller can act on.

A failure of your own function is never wrapped: it is re-raised as itself, with a note that says why holdfast stopped trying.
"""

from __future__ import annotations


class HoldfastError(Exception):
    """Base of all errors raised by holdfast itself."""


class PolicyError(HoldfastError, ValueError):
    """A policy, duration or decorator argument that cannot work; raised when it is built, before any call."""


class TaskContextError(HoldfastError, RuntimeError):
    """A task was called where no run is active. The text shows the fix."""


class NodeTimeoutError(HoldfastError, TimeoutError):
    """An attempt ran longer than its ``timeout``, or into the task's ``deadline``.

    Attributes:
        task: Name of the task.
        limit: The limit that expired, in seconds.
    """

    def __init__(self, task: str, limit: float, *, cause: str = "timeout") -> None:
        """Name the task, the limit in seconds and whether the ``timeout`` or the ``deadline`` set it."""
        super().__init__(f"{task} did not finish within {round(limit, 3) or limit:g} s ({cause})")
        self.task = task
        self.limit = limit
        self.cause = cause


class NotKeyable(HoldfastError, TypeError):  # noqa: N818 - the public name says what is wrong, like NotImplemented
    """An argument from which no stable cache key can be made.

    Attributes:
        where: Path to the offending part, for example ``client`` or ``options['session']``.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        """Keep the path of the offending part beside the text."""
        super().__init__(message)
        self.where = where


class NotSerializable(HoldfastError, TypeError):  # noqa: N818 - see NotKeyable
    """A value that would not come back equal and of the same type from a store.

    Attributes:
        where: Path to the offending part, for example ``result.items[3]``.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        """Keep the path of the offending part beside the text."""
        super().__init__(message)
        self.where = where


class CorruptRecord(HoldfastError):  # noqa: N818 - see NotKeyable
    """A stored record whose checksum, format or version is wrong. A cache treats it as a miss."""


class StoreError(HoldfastError, OSError):
    """A store that cannot be opened safely: wrong owner, world-writable folder, foreign or newer schema."""


class ReplayedError(HoldfastError):
    """A remembered failure whose own class cannot be rebuilt here.

    Attributes:
        type_name: Dotted name of the original class.
        text: Its message.
    """

    def __init__(self, type_name: str, text: str) -> None:
        """Keep the original's dotted class name and message."""
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text


class KeyFuncError(HoldfastError):
    """A ``key_func`` that raised or returned what cannot be a key. The call is computed and not cached."""
