"""Times to live that an operator changes while programs run: set for all keys of a task or some, watched, taken back, with a history.

>>> import tempfile
>>> from holdfast.overrides import Overrides
>>> overrides = Overrides(tempfile.mkdtemp())
>>> made = overrides.set("app.weather.forecast", "45m", author="anna", reason="the source changes every hour")
>>> made.ttl, overrides.current()[0].author
(2700.0, 'anna')

They stand in ``overrides.db`` beside a disk cache. Every process that has the cache open sees a change within a second, and entries that are there
already are judged by it. ``holdfast cache ttl`` is the same for a shell.
"""

from __future__ import annotations

from holdfast.overrides.expected import Expected
from holdfast.overrides.guard import Guard
from holdfast.overrides.override import Override
from holdfast.overrides.store import Overrides

__all__ = ["Expected", "Guard", "Override", "Overrides"]
