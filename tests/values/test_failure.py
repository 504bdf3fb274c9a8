"""Failures come back as themselves where that is safe, and as ReplayedError elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import threading
import urllib.error
from email.message import Message
from typing import ClassVar

import pytest

from holdfast.errors import CorruptRecord, NodeTimeoutError, ReplayedError
from holdfast.values.codec import codec_for
from holdfast.values.failure import decode_failure, encode_failure
from holdfast.values.raising import VERDICT

BUILT: list[str] = []


class Response:
    """As HTTP clients have them."""

    status_code = 404
    reason_phrase = "Not Found"
    headers: ClassVar = {"set-cookie": "secret"}

    @property
    def reason(self):
        raise RuntimeError("not read yet")


class StatusError(Exception):
    """Like httpx's: the response is an attribute, the request a property over one."""

    def __init__(self, message, response, request):
        super().__init__(message)
        self.response = response
        self._request = request

    @property
    def request(self):
        if self._request is None:
            raise RuntimeError("no request")
        return self._request


class ServiceError(Exception):
    def __init__(self, service, *, code):
        BUILT.append(service)
        super().__init__(f"{service} answered {code}")
        self.code = code


class Awkward(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Unpicklable(Exception):
    def __reduce__(self):
        raise RuntimeError("no")


def back(error):
    """What a later process raises instead of ``error``."""
    return decode_failure(encode_failure(error))


def same(left, right):
    """The same class, arguments, text and attributes."""
    return (type(left), left.args, str(left), vars(left)) == (type(right), right.args, str(right), vars(right))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 1, (2, {"a"})),
        KeyError("k"),
        StopIteration(3),
        TimeoutError(),
        ConnectionResetError(104, "reset"),
        FileNotFoundError(2, "gone", "/tmp/x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("no", name="m", path="p"),
        asyncio.QueueFull(),
        json.JSONDecodeError("bad", "{", 1),
        NodeTimeoutError("task", 1.5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_standard_exceptions_come_back(error):
    """Class, arguments, text and attributes, those kept in C among them."""
    again = back(error)

    assert same(error, again)
    for name in ("errno", "filename", "start", "name", "value"):
        assert getattr(error, name, None) == getattr(again, name, None)


def test_user_exceptions_come_back_without_init():
    """An ``__init__`` with parameters of its own is not in the way, and not run again."""
    error = ServiceError("maps", code=503)
    BUILT.clear()
    again = back(error)

    assert same(error, again)
    assert [] == BUILT


def test_notes_and_cause_come_back():
    """What was added to the exception is part of it."""
    error = ValueError("outer")
    error.add_note("while planning")
    error.__cause__ = KeyError("inner")
    again = back(error)

    assert ["while planning"] == again.__notes__
    assert same(error.__cause__, again.__cause__)


def test_groups_come_back_with_their_members():
    """Nested groups, too."""
    error = ExceptionGroup("all", [ValueError(1), ExceptionGroup("some", [ServiceError("a", code=1)])])
    again = back(error)

    assert "all" == again.message
    assert same(ValueError(1), again.exceptions[0])
    assert 1 == again.exceptions[1].exceptions[0].code


def test_what_cannot_be_stored_is_left_out_and_named():
    """A response or a lock on an exception does not cost the exception."""
    error = ValueError("bad", threading.Lock())
    error.response = object()
    error.code = 5
    again = back(error)

    assert ("bad", "<a _thread.lock>") == again.args
    assert 5 == again.code
    assert "<what is left of object: nothing>" == repr(again.response)
    assert ["Raised again from a store, which could not hold: args[1], response"] == again.__notes__


def test_http_errors_come_back():
    """An error with an open file and headers keeps its code."""
    with urllib.error.HTTPError("http://x", 503, "busy", Message(), None) as error:
        again = back(error)

    assert (urllib.error.HTTPError, 503) == (type(again), again.code)


def test_local_classes_become_replayed_errors():
    """A class that cannot be found by name stands as its name and text."""

    class Local(Exception):
        pass

    again = back(Local("here"))
    assert isinstance(again, ReplayedError)
    assert again.type_name.endswith("<locals>.Local")
    assert "here" == again.text


def test_notes_survive_on_replayed_errors():
    """The stand-in tells what the original told."""

    class Local(Exception):
        pass

    error = Local("here")
    error.add_note("why")
    assert ["why"] == back(error).__notes__


def test_a_replayed_error_comes_back_as_itself():
    """Recorded twice, it still names the first."""
    again = back(ReplayedError("m.E", "text"))

    assert (ReplayedError, "m.E", "text") == (type(again), again.type_name, again.text)


@pytest.mark.parametrize("error", [Awkward("x"), Unpicklable("x")])
def test_awkward_exceptions_do_not_escape(error):
    """An exception whose own methods raise is recorded all the same."""
    assert isinstance(back(error), (type(error), ReplayedError))


class Outer:
    class Inner(Exception):
        pass


def test_a_class_within_a_class_is_found():
    """By each part of its qualified name."""
    assert Outer.Inner is type(back(Outer.Inner("x")))


def test_a_text_that_cannot_be_had_says_so():
    """The stand-in of an exception whose ``__str__`` raises."""

    class Local(Awkward):
        pass

    assert "<text not available: RuntimeError>" == back(Local("x")).text


def test_an_exception_that_cannot_be_taken_apart_keeps_its_name_and_text():
    """One that poses as Python's own, and breaks what its base would do."""

    def broken(self):
        raise RuntimeError("no")

    again = back(type("Odd", (Exception,), {"__module__": "builtins", "__reduce__": broken})("why"))

    assert (ReplayedError, "builtins.Odd", "why") == (type(again), again.type_name, again.text)


def test_notes_of_a_replayed_error_are_not_doubled():
    """It comes back as itself, with the notes it had."""
    error = ReplayedError("m.E", "text")
    error.add_note("why")

    assert ["why"] == back(error).__notes__


def causes(error):
    """How many causes an exception has, one behind the other."""
    return 0 if error.__cause__ is None else 1 + causes(error.__cause__)


def test_eight_causes_are_kept():
    """Further ones hardly explain the failure."""
    error = ValueError("last")
    for number in range(9):
        outer = ValueError(number)
        outer.__cause__ = error
        error = outer

    assert (9, 8) == (causes(error), causes(back(error)))


def test_groups_are_kept_eight_deep():
    """What a ninth holds is lost; a stand-in says what it was."""

    def nested(depth):
        error = ValueError("innermost")
        for _ in range(depth):
            error = ExceptionGroup("g", [error])
        return error

    def innermost(error):
        return innermost(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error

    assert [ValueError, ReplayedError] == [type(innermost(back(nested(depth)))) for depth in (8, 9)]


def test_endless_cause_chains_end():
    """A cause that leads back to the exception is cut."""
    error = ValueError("a")
    error.__cause__ = KeyError("b")
    error.__cause__.__cause__ = error

    assert same(error, back(error))


def forged(**changes):
    """A record with some fields replaced."""
    record = codec_for().decode(encode_failure(ValueError("x")))
    return codec_for().encode(record | changes)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "SystemExit"), ("builtins", "int"), ("not.loaded", "E"), ("builtins", "exec"), ("os", "path.join")],
)
def test_only_loaded_exceptions_are_rebuilt(module, name):
    """A record can name whatever it likes: anything but an Exception class that is loaded is a ReplayedError."""
    again = decode_failure(forged(module=module, name=name))

    assert (ReplayedError, f"{module}.{name}") == (type(again), again.type_name)


@pytest.mark.parametrize("data", [b"", b"\xc0", codec_for().encode({}), codec_for().encode([1]), forged(text=1, name=None), forged(lost=3)])
def test_other_bytes_are_corrupt(data):
    """What is no failure is CorruptRecord."""
    with pytest.raises(CorruptRecord):
        decode_failure(data)


def test_damaged_records_are_failures_or_corrupt():
    """No flipped bit makes decoding raise anything else."""
    chance = random.Random(3)
    error = ServiceError("maps", code=503)
    error.__cause__ = OSError(2, "gone", "f")
    record = encode_failure(error)
    for _ in range(500):
        damaged = bytearray(record)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        with contextlib.suppress(CorruptRecord):
            assert isinstance(decode_failure(bytes(damaged)), Exception)


def test_of_a_response_the_status_is_kept():
    """What handlers look at first; headers and bodies stay out, and who asks for them is told so."""
    again = back(StatusError("404 for /x", Response(), object()))

    assert (404, "Not Found") == (again.response.status_code, again.response.reason_phrase)
    assert "<what is left of object: nothing>" == repr(again.request)
    with pytest.raises(
        AttributeError, match=r"'headers' was not kept: this error was remembered, .* there is only status_code, reason_phrase"
    ):
        again.response.headers  # noqa: B018 - reading it is what is tested
    assert not hasattr(again.response, "reason")
    assert again.response.close() is None
    assert b"secret" not in encode_failure(StatusError("404 for /x", Response(), object()))


def test_what_is_left_survives_a_second_time():
    """A remembered failure that another cache remembers in turn."""
    again = back(back(StatusError("404 for /x", Response(), None)))

    assert (404, "Not Found") == (again.response.status_code, again.response.reason_phrase)
    assert repr(again.response).endswith("Response: status_code=404, reason_phrase='Not Found'>")


def test_attributes_of_a_urllib_error_break_nothing():
    """It hands on every attribute it does not have to its file, which is gone."""
    with urllib.error.HTTPError("http://x", 404, "Not Found", Message(), io.BytesIO(b"{}")) as error:
        again = back(error)

    assert (404, "Not Found") == (again.code, again.reason)
    assert (None, "default") == (getattr(again, "response", None), getattr(again, "nothing", "default"))
    with pytest.raises(AttributeError, match="'read' was not kept: this error was remembered"):
        again.read()
    again.close()


def test_a_verdict_comes_back():
    """Also a second time, through a store whose writer does not judge."""
    error = StatusError("404 for /x", Response(), None)
    again = decode_failure(encode_failure(decode_failure(encode_failure(error, verdict=(False, "HTTP 404")))))

    assert (False, "HTTP 404") == vars(again)[VERDICT]
    assert VERDICT not in vars(back(error))
