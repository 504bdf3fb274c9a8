"""Sightings: kept compactly, in the order of time, and written and read without loss; what is wrong is told with its place."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import TraceError
from holdfast.tuning import Sighting, Sightings

SECONDS = st.integers(0, 10**15).map(lambda microseconds: microseconds / 1e6)
HASHES = st.integers(1, 2**64 - 1)
ANY = st.builds(
    Sighting,
    HASHES,
    st.integers(-(10**9), 2 * 10**15).map(lambda microseconds: microseconds / 1e6),
    st.none() | SECONDS,
    st.none() | HASHES,
    st.none() | st.integers(0, 2**58),
    st.none() | st.integers(-(10**15), 10**15).map(lambda microseconds: microseconds / 1e6),
    st.sampled_from(("fill", "refresh", "probe")),
    st.booleans(),
)


def refused(text, folder):
    """The error that reading a file of this text raises."""
    path = folder / "sightings.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        Sightings.from_csv(path)
    assert str(path) in str(caught.value)
    return caught.value


@given(made=st.lists(ANY, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_loses_nothing(made, tmp_path):
    """Written and read, sightings are the same, in the order of time."""
    path = tmp_path / "a.csv"
    Sightings(made).to_csv(path)

    assert sorted(made, key=lambda each: each.time) == list(Sightings(made)) == list(Sightings.from_csv(path))
    assert len(made) == len(Sightings(made))


def test_a_file_may_say_little(tmp_path):
    """Key and time are enough, in any order of rows; the rest is None, a fill that went well."""
    path = tmp_path / "few.csv.gz"
    path.write_bytes(gzip.compress(b"t_ms,key,other\n60000,Oslo,1\n0,Oslo,2\n"))
    first, second = Sightings.from_csv(path)

    assert (0.0, 60.0, first.key) == (first.time, second.time, second.key)
    assert (None, None, None, None, "fill", True) == first[2:]


def test_keys_are_those_of_a_trace():
    """The same text is the same 64 bits."""
    (text,), (digits,) = Sightings([Sighting("Oslo", 0)]), Sightings([Sighting("00000000000000ff", 0)])

    assert 255 == digits.key
    assert text.key == next(iter(Sightings([Sighting(b"Oslo", 1)]))).key


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,,fill,1,,,,", "it has no key"),
        ("1,a,poll,1,,,,", "kind 'poll' is none of fill, refresh, probe"),
        ("1,a,fill,maybe,,,,", "ok 'maybe' is neither 1, 0, true nor false"),
        ("1,a,fill,1,-1,,,", "duration -1 s is not a time from 0 to 9,000 years"),
        ("1,a,fill,1,x,,,", "duration_s 'x' is not a number"),
        ("1,a,fill,1,,,-5,", "size -5 is not a number of bytes"),
        ("1,a,fill,1,,,1.5,", "size '1.5' is not a whole number"),
        ("1,a,fill,1,,,,nan", "modified_s nan is not a finite number"),
        ("1e30,a,fill,1,,,,", "is not within 9,000 years: is its unit right"),
        ("1,a,fill", "it has 3 cells, and the header 8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(row, why, tmp_path):
    """The file, the line, the value, and what it should be."""
    error = refused(f"t_s,key,kind,ok,duration_s,fingerprint,size,modified_s\n0,a,fill,1,,,,\n{row}\n", tmp_path)

    assert "line 3" == error.where
    assert why in str(error)


def test_a_file_without_keys_is_something_else(tmp_path):
    """The header says it."""
    assert "the header has no column 'key'" in str(refused("t_s,kind\n0,fill\n", tmp_path))


@pytest.mark.parametrize(
    ("sighting", "why"),
    [
        (Sighting("a", 0, fingerprint=0), "fingerprint 0 is not a number of 64 bits other than 0"),
        (Sighting(2**64, 0), "is not a number of 64 bits"),
        (Sighting("a", float("inf")), "time inf is not a finite number"),
        (Sighting("a", 0, size=1.5), "size 1.5 is not a whole number"),
        (Sighting("a", 0, kind="hit"), "kind 'hit' is none of"),
    ],
)
def test_a_sighting_that_cannot_be_is_counted(sighting, why):
    """From 1."""
    with pytest.raises(TraceError, match=why) as caught:
        Sightings([Sighting("a", 0), sighting])

    assert "sighting 2" == caught.value.where
