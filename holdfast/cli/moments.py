"""Times as people type them: how long, how long ago, or when."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

import click

from holdfast import clock
from holdfast.errors import PolicyError
from holdfast.policies.duration import seconds


class Length(click.ParamType[float]):
    """``90s``, ``45m``, ``1h30m``, or a number of seconds; converts to seconds."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read what was typed; ends the command with what was expected when it is no length of time."""
        text = str(value).strip()
        try:
            return seconds(f"{text}s" if text.replace(".", "", 1).isdecimal() else text, what="time")
        except PolicyError:
            self.fail(f"{text!r} is no length of time: give seconds, or for example 90s, 45m, 1h30m, 7d (units ms s m h d w).", param, ctx)


class Since(click.ParamType[int]):
    """``2h``, ``30m``, ``1d12h`` ago, or a date, or a date and time, of this machine's time zone where it names none.

    Converts to nanoseconds since the epoch.
    """

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read what was typed; ends the command with what was expected when it is neither."""
        text = str(value).strip()
        moment = _moment(text)
        if moment is not None:
            return int(moment.timestamp() * 1e9)
        try:
            ago = seconds(text, what="since")
        except PolicyError:
            self._refuse(text, param, ctx)
        return clock.current.time_ns() - int(ago * 1e9)

    def _refuse(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"{text!r} is neither an age, such as 30m, 2h or 1d12h, nor a date, such as 2026-11-21 or 2026-11-21T09:30.", param, ctx)


def _moment(text: str) -> datetime | None:
    if "-" not in text:  # else 20261121 would be a date, and is more likely seconds
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
