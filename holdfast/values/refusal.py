"""A value that cannot be keyed or stored, and the path to it, gathered while the exception travels up."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 100
"""Levels of nesting a key or a stored value may have; each costs a few Python frames, of which there are 1,000."""

_LONGEST_PATH = 12


class Refused(Exception):  # noqa: N818 - never leaves this package; callers see NotKeyable or NotSerializable
    """Raised at the offending part; every container it passes through adds its own step.

    Attributes:
        problem: What is wrong with the part, for example ``"is a Client"``.
        fix: What to do about it; "" when the usual ways out apply.
    """

    def __init__(self, problem: str, *, fix: str = "") -> None:
        """Start a path of no steps at the offending part."""
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self._steps: list[str] = []

    def through_item(self, key: Any) -> None:
        """The part lies behind ``[key]``; only keys whose repr is plain are shown."""
        shown = repr(key) if type(key) in _SHOWN_KEYS else f"<{type(key).__name__}>"
        self._steps.append(f"[{shown[:40]}]")

    def through_attribute(self, name: str) -> None:
        """The part lies behind ``.name``."""
        self._steps.append(f".{name}")

    def through_member(self) -> None:
        """The part is a member of a set."""
        self._steps.append("{...}")

    def path(self, root: str) -> str:
        """The whole path from ``root``, for example ``options['session']``; a very long one is cut."""
        steps = self._steps[::-1]
        more = "..." if len(steps) > _LONGEST_PATH else ""
        return root + "".join(steps[:_LONGEST_PATH]) + more


_SHOWN_KEYS = frozenset({str, int, bool, type(None), float})


_told: dict[type, tuple[str, str]] = {}


def tell_of(cls: type, problem: str, fix: str) -> None:
    """What to say of a class of our own that is no value, where the usual ways out would lead nowhere; see `Refused` for the texts."""
    _told[cls] = (problem, fix)


def told_of(cls: type) -> Refused | None:
    """The refusal of such a class; None for all others."""
    told = _told.get(cls)
    return None if told is None else Refused(told[0], fix=told[1])


def too_deep() -> Refused:
    """The refusal for a value nested deeper than `MAX_DEPTH`."""
    return Refused(f"is nested deeper than {MAX_DEPTH} levels (does it contain itself?)")
