"""Run ids sort by time and say when they were made."""

from __future__ import annotations

import os
import sys
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.values.ids import uuid7
from tests.children import in_child

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


def test_threads_share_no_id():
    """Though they draw from one supply, and switch whenever they can."""
    made, threads = [], [threading.Thread(target=lambda: made.extend([uuid7(0) for _ in range(2_000)])) for _ in range(8)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)

    assert 16_000 == len(set(made))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_repeats_no_id_of_its_parent():
    """Nor does the parent use what the child uses."""
    uuid7(0)  # there is a supply
    reader, writer = os.pipe()

    def child():
        return os.write(writer, "\n".join(uuid7(0) for _ in range(20)).encode())

    assert 0 == in_child(child)
    os.close(writer)
    with os.fdopen(reader) as told:
        others = told.read().split()
    assert 20 == len(others)
    assert not {*others} & {uuid7(0) for _ in range(20)}
