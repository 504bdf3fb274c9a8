"""Reading and writing traces: what goes out comes back, and what is wrong is told with its place."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import TraceError
from holdfast.tuning import Access, Trace

HASHES = st.integers(0, 2**64 - 1)
SECONDS = st.integers(0, 10**15).map(lambda microseconds: microseconds / 1e6)
FULL = Access(7, 1.5, size=512, compute=0.25, fingerprint=9)
READERS = {".csv": Trace.from_csv, ".jsonl": Trace.from_json_lines, ".bin": Trace.from_oracle_general}


@st.composite
def traces(draw):
    """Accesses in order, with whatever is optional there or not."""
    times = sorted(draw(st.lists(st.integers(-(10**9), 2 * 10**15), max_size=20)))
    one = st.builds(
        Access, HASHES, st.just(0.0), st.none() | st.integers(0, 2**63 - 1), st.none() | SECONDS, st.none() | st.integers(1, 2**64 - 1)
    )
    return [draw(one)._replace(time=time / 1e6) for time in times]


def file(folder, text, suffix=".csv"):
    """A file of that text, or these bytes."""
    path = folder / f"trace{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path):
    """The error that reading raises."""
    with pytest.raises(TraceError) as caught:
        READERS["".join(path.suffixes[:1])](path)
    assert str(path) in str(caught.value)
    return caught.value


@given(made=traces())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_csv_loses_nothing(made, tmp_path):
    """Written and read, a trace is the same, and so is its file."""
    path, again = tmp_path / "a.csv", tmp_path / "b.csv"
    Trace(made).to_csv(path)
    Trace.from_csv(path).to_csv(again)

    assert made == list(Trace.from_csv(path))
    assert path.read_bytes() == again.read_bytes()


@given(made=traces())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_lines_say_the_same_as_csv(made, tmp_path):
    """One set of names and units."""
    names = {"key": "key", "time": "t_s", "size": "size", "compute": "compute_s", "fingerprint": "fingerprint"}
    lines = [json.dumps({names[name]: value for name, value in access._asdict().items()}) for access in made]
    path = file(tmp_path, "\n".join(lines), ".jsonl")

    assert made == list(Trace.from_json_lines(path))


def test_oracle_general_is_what_libcachesim_reads(tmp_path):
    """24 bytes: seconds, object, size, number of the object's next request; -1 where there is none."""
    path = tmp_path / "trace.bin"
    Trace([Access(7, 1.9, size=512), Access(8, 2), Access(7, 3, size=600)]).to_oracle_general(path)

    assert struct.pack("<IQIqIQIqIQIq", 1, 7, 512, 2, 2, 8, 1, -1, 3, 7, 600, -1) == path.read_bytes()
    assert [Access(7, 1.0, 512), Access(8, 2.0, 1), Access(7, 3.0, 600)] == list(Trace.from_oracle_general(path))


def test_oracle_general_is_read_in_pieces(tmp_path):
    """More records than are read at once."""
    made = [Access(number % 1_000, number // 10, size=1) for number in range(70_000)]
    path = tmp_path / "trace.bin"
    Trace(made).to_oracle_general(path)

    assert made == list(Trace.from_oracle_general(path))


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        (Access(1, -0.5), "times from 0 to 4294967295 s, and this one is -1"),
        (Access(1, 2**32), "this one is 4294967296"),
        (Access(1, 0, 2**32), "sizes up to"),
    ],
)
def test_what_does_not_fit_into_32_bits_is_refused_before_anything_is_written(access, reason, tmp_path):
    """A file that is there already stays as it is."""
    path = file(tmp_path, b"before", ".bin")

    with pytest.raises(TraceError, match=reason):
        Trace([access]).to_oracle_general(path)
    assert b"before" == path.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".bin"])
def test_gzip_is_unpacked(suffix, tmp_path):
    """Whatever the file is called."""
    plain, packed = tmp_path / f"plain{suffix}", tmp_path / f"packed{suffix}"
    trace = Trace([Access(7, 1, size=3), Access(9, 4, size=5)])
    (trace.to_csv if suffix == ".csv" else trace.to_oracle_general)(plain)
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert list(trace) == list(READERS[suffix](packed))


def test_columns_may_stand_in_any_order_and_others_beside_them(tmp_path):
    """Spreadsheets and logs have more; a mark of byte order is none of the header's."""
    text = '\ufeffstatus, key ,t_ms,size\n200,"Oslo, Norway",0.5,\n404,b,2,7\n'

    assert list(Trace([Access("Oslo, Norway", 0.0005), Access("b", 0.002, size=7)])) == list(Trace.from_csv(file(tmp_path, text)))


@pytest.mark.parametrize(("column", "cell"), [("t_us", "2500000"), ("t_ms", "2500"), ("t_s", "2.5")])
def test_the_unit_of_time_stands_in_its_name(column, cell, tmp_path):
    """Nothing is guessed."""
    assert [2.5] == [access.time for access in Trace.from_csv(file(tmp_path, f"{column},key\n{cell},a\n"))]
    assert [2.5] == [access.time for access in Trace.from_json_lines(file(tmp_path, f'{{"{column}": {cell}, "key": "a"}}', ".jsonl"))]


def test_whole_microseconds_are_exact_however_many(tmp_path):
    """Beyond what a float can tell apart."""
    path, again = (
        file(tmp_path, "t_us,key\n-90071992547409931,00000000000000ff\n90071992547409931,00000000000000ff\n"),
        tmp_path / "again.csv",
    )
    Trace.from_csv(path).to_csv(again)

    assert path.read_bytes() == again.read_bytes()


def test_keys_are_told_apart_by_what_they_are():
    """Text and bytes are hashed, 16 hex digits and numbers are hashes already."""
    one, two, three, four, five = (access.key for access in Trace([Access(key, 0) for key in ("a", b"a", "A", "00000000000000ff", 255)]))

    assert one == two != three
    assert 255 == four == five


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("", "line 1", "the header has no column 'key'"),
        ("a,b\n1,2\n", "line 1", "the header has no column 'key': 'a,b'"),
        ("time,key\n1,2\n", "line 1", "one column of time is needed, t_us, t_ms, t_s, and there is none of them"),
        ("t_s,t_ms,key\n", "line 1", "there is t_s and t_ms"),
        ("t_s,key,key\n", "line 1", "the column 'key' more than once"),
        ("t_s,key\n1,a\n2\n", "line 3", "it has 1 cells, and the header 2"),
        ("t_s,key\n1,a\n2,b,c\n", "line 3", "it has 3 cells, and the header 2"),
        ("t_s,key\n1,a\n0.5,b\n", "line 3", "the time goes back by 0.5 s: sort the accesses by time first"),
        ("t_s,key\nsoon,a\n", "line 2", "t_s 'soon' is not a number"),
        ("t_s,key\n,a\n", "line 2", "t_s '' is not a number"),
        ("t_s,key\nnan,a\n", "line 2", "is not a finite number"),
        ("t_s,key\n1e300,a\n", "line 2", "is not within 9,000 years: is its unit right?"),
        ("t_s,key\n1,\n", "line 2", "it has no key"),
        ("t_s,key,size\n1,a,-5\n", "line 2", "size -5 is not a number of bytes"),
        ("t_s,key,size\n1,a,1.5\n", "line 2", "size '1.5' is not a whole number"),
        ("t_s,key,compute_s\n1,a,-1\n", "line 2", "compute -1000000 is not microseconds from 0"),
        ("t_s,key,compute_s\n1,a,x\n", "line 2", "compute_s 'x' is not a number"),
        ("t_s,key,fingerprint\n1,a,0000000000000000\n", "line 2", "fingerprint 0 is not a number of 64 bits other than 0"),
        ('t_s,key\n1,"a\n2,b\n', "line 3", "unexpected end of data"),
        (b"t_s,key\n1,a\n2,\xff\n", "line 3", "can't decode byte 0xff"),
        (b"\x28\xb5\x2f\xfd....", "byte 0", "zstd -d it first"),
        (gzip.compress(b"t_s,key\n1,a\n", mtime=0)[:-9], "line", "end-of-stream"),
        (b"\x1f\x8bnonsense", "line 1", "Unknown compression method"),
    ],
)
def test_csv_that_is_none_is_refused_with_its_line(text, where, reason, tmp_path):
    """Somebody has to find the place in a file of millions of lines."""
    error = refused(file(tmp_path, text))

    assert where in error.where
    assert reason in str(error)


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ('{"t_s": 1, "key": "a"}\n\n{"t_s": 0, "key": "a"}\n', "line 3", "the time goes back by 1 s"),
        ('{"t_s": 1, "key": "a"}\n{"t_s": 2, "key"', "line 2", "it is not a JSON object of an access"),
        ("[1, 2]\n", "line 1", "it is not a JSON object of an access"),
        ('{"t_s": "1", "key": "a"}\n', "line 1", "it is not a JSON object of an access"),
        ('{"t_s": 1, "key": "a", "size": true}\n', "line 1", "it is not a JSON object of an access"),
        ('{"t_s": 1}\n', "line 1", "it has no key"),
        ('{"key": "a"}\n', "line 1", "one column of time is needed"),
        ('{"t_s": 1, "key": -1}\n', "line 1", "key -1 is not a number of 64 bits"),
        ('{"resourceSpans": []}\n', "line 1", "these are spans (OTLP)"),
        (b'{"t_s": 1, "key": "\xff"}\n', "line 1", "can't decode byte 0xff"),
    ],
)
def test_json_lines_that_are_none_are_refused_with_their_line(text, where, reason, tmp_path):
    """Spans above all: their sampling would pass for misses."""
    error = refused(file(tmp_path, text, ".jsonl"))

    assert where == error.where
    assert reason in str(error)


RECORD = struct.pack("<IQIq", 5, 7, 512, -1)


@pytest.mark.parametrize(
    ("content", "where", "reason"),
    [
        (RECORD + RECORD[:10], "byte 24", "10 bytes are left, and a record has 24"),
        (RECORD + struct.pack("<IQIq", 4, 7, 512, -1), "byte 24", "the time goes back by 1 s"),
        (struct.pack("<IQIq", 5, 7, 512, -2), "byte 0", "cannot be number -2: this is not oracleGeneral"),
        (gzip.compress(RECORD * 3, mtime=0)[:-9], "byte", "end-of-stream"),
        (b"PK\x03\x04" + RECORD, "byte 0", "unzip it first"),
    ],
)
def test_binary_traces_that_are_none_are_refused_with_their_byte(content, where, reason, tmp_path):
    """The only ways to tell are sizes, order, and numbers that cannot be."""
    error = refused(file(tmp_path, content, ".bin"))

    assert where in error.where
    assert reason in str(error)


@pytest.mark.parametrize("reader", READERS.values())
def test_a_file_that_is_not_there_is_an_oserror(reader, tmp_path):
    """As from open."""
    with pytest.raises(FileNotFoundError):
        reader(tmp_path / "none")


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        (Access("a", -1), "access 2: the time goes back by 2 s"),
        (Access("a", math_nan := float("nan")), "access 2: time nan is not a finite number"),
        (Access("a", "2"), "access 2: time '2' is not a number"),
        (Access(None, 2), "access 2: key None is neither text, bytes nor a whole number"),
        (Access(True, 2), "access 2: key True is neither text, bytes nor a whole number"),
        (Access("a", 2, compute=math_nan), "access 2: compute nan is not a finite number"),
        (Access("a", 2, size=1.5), "access 2: size 1.5 is not a whole number"),
        (Access("a", 2, size=-1), "access 2: size -1 is not a number of bytes"),
        (Access(-1, 2), "access 2: key -1 is not a number of 64 bits"),
        (Access("a", 2, fingerprint=0), "access 2: fingerprint 0 is not"),
    ],
)
def test_an_access_that_cannot_be_is_named(access, reason):
    """Counted from 1."""
    with pytest.raises(TraceError, match=reason) as caught:
        Trace([Access("a", 1), access])
    assert "access 2" == caught.value.where


def test_an_error_of_whoever_hands_in_the_accesses_stays_his():
    """It is not about an access."""

    def broken():
        yield Access("a", 1)
        raise ValueError("the log is gone")

    with pytest.raises(ValueError, match="the log is gone") as caught:
        Trace(broken())
    assert ValueError is type(caught.value)


def test_numbers_of_other_libraries_are_numbers():
    """Traces come out of data frames, too."""
    access = Access(np.uint64(7), np.float64(1.5), np.int64(512), np.float32(0.25), np.int64(9))

    assert [FULL] == list(Trace([access]))


def test_optional_columns_take_room_only_when_used():
    """A trace of ten million accesses fits into memory."""
    trace = Trace([Access(1, 0), Access(2, 1, size=5)])

    assert [None, 5] == [access.size for access in trace]
    assert (None, None) == (trace._columns.computes, trace._columns.fingerprints)


def test_a_trace_knows_its_length_and_span():
    """Of nothing, 0."""
    assert (0, 0.0) == (len(Trace()), Trace().span)
    assert (2, 2.5) == (len(Trace([FULL, FULL._replace(time=4.0)])), Trace([FULL, FULL._replace(time=4.0)]).span)
