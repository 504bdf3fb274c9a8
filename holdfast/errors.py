"""Every error holdfast raises on its own account, one class per thing a caller can act on.

A failure of your own function is never wrapped: it is re-raised as itself, with a note that says why holdfast stopped trying.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class HoldfastError(Exception):
    """Base of all errors raised by holdfast itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: text and attributes as they are, without ``__init__``, which takes other things than the text it makes."""
        reduced: Any = super().__reduce__()
        _cls, args, *state = reduced
        return _rebuilt, (type(self), args), *state


def _rebuilt(cls: type[HoldfastError], args: tuple[Any, ...]) -> HoldfastError:
    error = cls.__new__(cls, *args)
    error.args = args if not error.args else error.args  # OSError.__new__ leaves them to an __init__ of the subclass
    return error


class PolicyError(HoldfastError, ValueError):
    """A policy, duration or decorator argument that cannot work; raised when it is built, before any call."""


class TaskContextError(HoldfastError, RuntimeError):
    """A task was called where no run is active. The text shows the fix."""


class NodeTimeoutError(HoldfastError, TimeoutError):
    """An attempt ran longer than its ``timeout``, or into the task's ``deadline``; or a cached call waited for its ``hard_timeout``.

    Attributes:
        task: Name of the task.
        limit: The limit that expired, in seconds.
        cause: Which it was: ``timeout``, ``deadline`` or ``hard_timeout``.
    """

    def __init__(self, task: str, limit: float, *, cause: str = "timeout") -> None:
        """Name the task, the limit in seconds and what set it."""
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


class TraceError(HoldfastError, ValueError):
    """A trace of accesses that cannot be used: damaged, something else, not in the order of time, or empty.

    Attributes:
        where: Which part, for example ``line 7``, ``byte 48`` or ``access 3``; empty for the whole.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        """Keep the place beside the text."""
        super().__init__(message)
        self.where = where


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


class Divergence(HoldfastError, RuntimeError):  # noqa: N818 - see NotKeyable
    """After the same history, the code asks for something else than it did when the run was recorded; raised before that is done.

    Attributes:
        recorded: What the record has at this place.
        actual: What the code asks for now.
    """

    def __init__(self, message: str, *, recorded: str = "", actual: str = "") -> None:
        """Keep both sides beside the text."""
        super().__init__(message)
        self.recorded = recorded
        self.actual = actual


class Doubt(NamedTuple):
    """One step of an `InDoubt`.

    Attributes:
        task: Name of the task.
        step: The step's id, 32 hex digits.
        began: When it began, seconds since the epoch.
        idempotency_key: What `holdfast.get_idempotency_key` gave it: the other service may know the call by that.
    """

    task: str
    step: str
    began: float
    idempotency_key: str


class InDoubt(HoldfastError, RuntimeError):  # noqa: N818 - see NotKeyable
    """An at-most-once step was under way when its process died: whether it took effect, nobody here can know.

    The text says what to type: `Entrypoint.resolve` with what a person has found out.

    Attributes:
        task: Name of the task.
        step: The step's id, 32 hex digits.
        doubts: All such steps of the run, that one first.
    """

    doubts: tuple[Doubt, ...] = ()

    def __init__(self, message: str, *, task: str = "", step: str = "", doubts: tuple[Doubt, ...] = ()) -> None:
        """Name the task and the step beside the text."""
        super().__init__(message)
        self.task = task
        self.step = step
        self.doubts = doubts


class InvalidUpdateError(HoldfastError, ValueError):
    """What a node of a state graph returned, or what was given as an update, cannot be applied to the state; nothing of it is.

    Attributes:
        node: The node; ``__start__`` for an input, empty where no node is to blame.
        key: The key of the state; empty when it is about the whole, or about where to go.
    """

    def __init__(self, message: str, *, node: str = "", key: str = "") -> None:
        """Name node and key beside the text."""
        super().__init__(message)
        self.node = node
        self.key = key


class GraphRecursionError(HoldfastError, RecursionError):
    """A state graph has made as many supersteps as ``recursion_limit`` allows, and would go on."""


class RunExists(HoldfastError, ValueError):  # noqa: N818 - see NotKeyable
    """A run of that id was made already, with another input."""


class ThreadBusyError(HoldfastError, RuntimeError):
    """Somebody else owns the thread: it is running in this process or another one, or was taken over."""


class UnknownInterruptError(HoldfastError, ValueError):
    """An answer to what is not asked: no such question, or step in doubt, is open; it is unknown, or was answered already."""


class RunInterrupted(BaseException):
    """A body stops here until a question is answered. A BaseException, so that ``except Exception`` does not swallow it."""


class RunPaused(RunInterrupted):
    """A state graph stops at a breakpoint, until it is resumed: nobody is asked anything."""


class OverrideConflict(HoldfastError):  # noqa: N818 - the public name says what is wrong
    """A time to live was to be overridden, and meanwhile somebody else has done so. Nothing was changed.

    Attributes:
        current: Id of the override that is in force; 0 for none.
    """

    def __init__(self, message: str, *, current: int) -> None:
        """Keep the id beside the text."""
        super().__init__(message)
        self.current = current
