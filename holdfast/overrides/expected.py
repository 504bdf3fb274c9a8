"""What whoever sets an override expects of it: kept beside it, to be held against what came."""

from __future__ import annotations

import re
from typing import NamedTuple

from holdfast.errors import PolicyError

_CLAUSE = re.compile(r"\s*(?P<what>hits|stale)\s*=\s*(?P<share>[0-9.]+)\s*%\s*")
_EXAMPLE = "give for example 'hits=73.4%' or 'hits=73.4%, stale=2%'"


class Expected(NamedTuple):
    """Shares of all gets, from 0 to 1; None where nothing is expected.

    Attributes:
        hits: Answered without waiting for a call.
        stale: Answered by a value that the source had changed since.
    """

    hits: float | None = None
    stale: float | None = None

    @classmethod
    def parse(cls, text: str) -> Expected:
        """Read ``hits=73.4%, stale=2%``.

        Args:
            text: One of them or both, with a comma between.

        Returns:
            What is expected.

        Raises:
            PolicyError: It is something else.

        >>> Expected.parse("hits=75%, stale=2%")
        Expected(hits=0.75, stale=0.02)
        """
        found: dict[str, float] = {}
        for clause in text.split(","):
            match = _CLAUSE.fullmatch(clause)
            if match is None or match["what"] in found:
                raise PolicyError(f"expected={text!r}: {clause.strip()!r} is no share; {_EXAMPLE}")
            try:
                found[match["what"]] = round(float(match["share"]) / 100, 9)
            except ValueError:
                raise PolicyError(f"expected={text!r}: {match['share']!r} is no number; {_EXAMPLE}") from None
        if max(found.values()) > 1:
            raise PolicyError(f"expected={text!r}: a share is at most 100%")
        return cls(**found)

    def __str__(self) -> str:
        return ", ".join(f"{name}={100 * share:g}%" for name, share in (("hits", self.hits), ("stale", self.stale)) if share is not None)
