"""Run ids sort by time and say when they were made."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from holdfast.values.ids import uuid7

MOMENTS = st.integers(0, 2**48 * 1_000_000 - 1)


@given(MOMENTS)
def test_is_a_uuid_of_version_7(time_ns):
    """The standard library reads it, with the version, the variant and the milliseconds in place."""
    read = uuid.UUID(uuid7(time_ns))

    assert (7, uuid.RFC_4122) == (read.version, read.variant)
    assert time_ns // 1_000_000 == read.int >> 80


@given(MOMENTS, MOMENTS)
def test_sorts_by_time(left, right):
    """Ids made 250 ns or more apart sort as they were made."""
    if abs(left - right) >= 250:
        assert (left < right) == (uuid7(left) < uuid7(right))


def test_never_repeats():
    """Ids of one moment differ."""
    assert 1000 == len({uuid7(0) for _ in range(1000)})
