"""TimeoutPolicy: how long one attempt may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast._frames import trims
from holdfast._lookalikes import langgraphs
from holdfast.errors import PolicyError
from holdfast.policies.duration import positive_seconds, spoken

if TYPE_CHECKING:
    from holdfast.policies.duration import Duration


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TimeoutPolicy:
    """Limits each attempt. A call that is retried may take longer: ``deadline=`` limits all attempts and waits together.

    Attributes:
        run_timeout: The most one attempt may take, in seconds.

    >>> TimeoutPolicy("1m30s")
    TimeoutPolicy(1m30s)
    """

    run_timeout: float

    @trims
    def __init__(self, run_timeout: Duration) -> None:
        """Limit each attempt.

        Args:
            run_timeout: Seconds, timedelta or text such as ``"30s"``, from the start of the attempt.

        Raises:
            PolicyError: It is not a duration above zero.
        """
        limit = positive_seconds(run_timeout, what="run_timeout", instead="leave the timeout out to allow any time")
        object.__setattr__(self, "run_timeout", limit)

    def __repr__(self) -> str:
        return f"TimeoutPolicy({spoken(self.run_timeout)})"


def as_timeout(value: object) -> TimeoutPolicy | None:
    """Read a ``timeout=``.

    Args:
        value: Seconds, timedelta, text or a TimeoutPolicy; None for no limit.

    Raises:
        PolicyError: It is none of these, or not above zero.
    """
    if value is None or isinstance(value, TimeoutPolicy):
        return value
    if theirs := langgraphs(value):
        msg = f"timeout={value!r}: {theirs}"
        raise PolicyError(msg)
    return TimeoutPolicy(positive_seconds(value, what="timeout", instead="leave it out, or give None, to allow any time"))
