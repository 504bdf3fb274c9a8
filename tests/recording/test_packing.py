"""Columns come back as they were, and damage is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.recording.packing import pack_answers, pack_times, unpack_answers, unpack_times
from holdfast.recording.taps import ALL, CAUSES, Answer

KEYS = st.integers(1, ALL - 1)
MOMENTS = st.integers(0, 10**16).map(lambda number: number / 1e6)


@given(st.lists(st.tuples(KEYS, MOMENTS), min_size=1))
def test_times_come_back(times):
    """To the microsecond, in their order, even where that is not the order of time."""
    found = unpack_times(pack_times(times), len(times))

    assert [(key, round(moment * 1e6)) for key, moment in times] == found


@given(
    st.lists(
        st.builds(
            Answer,
            key=KEYS,
            began=st.just(1.5),
            seconds=st.sampled_from([0.0, 2.25]),
            fingerprint=st.integers(0, ALL - 1),
            size=st.integers(-1, 1 << 40),
            modified=st.sampled_from([None, 0.0, -3.5]),
            kind=st.sampled_from(["fill", "refresh", "probe"]),
            ok=st.booleans(),
            cause=st.sampled_from(CAUSES),
        ),
        min_size=1,
    )
)
def test_answers_come_back(answers):
    """Field by field, with what is unknown."""
    assert answers == unpack_answers(pack_answers(answers), len(answers))


@pytest.mark.parametrize("cut", [0, 1, 10])
def test_damage_is_an_error(cut):
    """Bytes cut short, or of another number of rows."""
    data = pack_times([(1, 1.0), (2, 2.0)])
    with pytest.raises(ValueError, match="damaged"):
        unpack_times(data[:cut], 2)
    with pytest.raises(ValueError, match="damaged"):
        unpack_times(data, 3)


def test_an_access_takes_little_room():
    """Ten bytes, for keys at random and times a tenth of a second apart."""
    times = [(number * 0x9E3779B97F4A7C15 % ALL, number / 10 + number % 7 / 1000) for number in range(4096)]

    assert len(pack_times(times)) < 12 * len(times)
