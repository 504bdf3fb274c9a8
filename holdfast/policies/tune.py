"""Tune: who looks after a task's time to live, and how many stale answers it may give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from holdfast._frames import trims
from holdfast.errors import PolicyError

Mode = Literal["off", "record", "suggest", "auto"]
_MODES: tuple[str, ...] = get_args(Mode)
_LOOKING = ("suggest", "auto")


@dataclass(frozen=True, slots=True, init=False)
class Tune:
    """What is done about a task's time to live while programs run. Frozen; compared by its fields.

    Attributes:
        mode: ``"off"``: nothing of the task is recorded. ``"record"``: it is, for whoever asks; that is so without a `Tune`, too. ``"suggest"``: once a day
            the ttl to take is worked out behind the calls, and told. ``"auto"``: it is taken, in steps of at most a factor of two within the policy's
            ``ttl_range``.
        stale_budget: The largest share of answers that may be stale, from 0 to 1: for ``"suggest"`` and ``"auto"``, which need one.

    Raises:
        PolicyError: A mode that there is not, a budget that cannot be, or the two do not go together.

    >>> Tune(mode="auto", stale_budget=0.02)
    Tune(mode='auto', stale_budget=0.02)
    """

    mode: Mode
    stale_budget: float | None

    @trims
    def __init__(self, *, mode: Mode, stale_budget: float | None = None) -> None:
        """See the class; the options are its fields."""
        if mode not in _MODES:
            raise PolicyError(f"mode={mode!r}: give one of {', '.join(map(repr, _MODES))}")
        if mode in _LOOKING and stale_budget is None:
            raise PolicyError(f"mode={mode!r} needs a share of stale answers that you can bear: add for example stale_budget=0.02")
        if stale_budget is not None and mode not in _LOOKING:
            raise PolicyError(
                f"stale_budget={stale_budget!r} does nothing in mode={mode!r}: leave it out, or give mode='suggest' or 'auto'"
            )
        if stale_budget is not None and not _is_share(stale_budget):
            raise PolicyError(f"stale_budget={stale_budget!r} is not a share of answers from 0 to 1: 0.02 is one in fifty")
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "stale_budget", stale_budget)

    @property
    def is_looking(self) -> bool:
        """Whether somebody looks after the ttl."""
        return self.mode in _LOOKING


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
