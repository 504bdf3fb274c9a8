"""What a server says about when to come back, in every form and place."""

from __future__ import annotations

import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from types import SimpleNamespace

import httpx
import multidict
import pytest
import requests.structures
from hypothesis import given
from hypothesis import strategies as st

from holdfast.policies.pushback import retry_after

NOW = datetime(2015, 10, 21, 7, 28, tzinfo=UTC).timestamp()


class Failed(Exception):
    def __init__(self, **fields):
        super().__init__("failed")
        vars(self).update(fields)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        (b"7", 7.0),
        (7, 7.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("Wed Oct 21 07:28:30 2015", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
    ],
)
def test_every_form_of_the_header_is_read(value, expected):
    """Seconds, and the three date forms of RFC 9110; a date that has passed is 0."""
    assert expected == retry_after({"Retry-After": value}, now=NOW)


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "nan", "inf", "1e9", "1h", "\uff19", "9" * 400, "Wed, 99 Oct 2015 07:28:30 GMT", None, [], True]
)
def test_rubbish_is_no_hint(value):
    """The computed delay is used then."""
    assert retry_after({"Retry-After": value}, now=NOW) is None


@given(st.text() | st.binary() | st.floats() | st.integers())
def test_whatever_a_server_sends_is_a_wait_or_nothing(value):
    """No header can raise, or lead to a negative or endless wait."""
    hint = retry_after({"Retry-After": value}, now=NOW)

    assert hint is None or 0 <= hint < 1e15


@given(st.integers(-(10**9), 10**9))
def test_a_date_is_measured_against_now(difference):
    """Independent oracle: a date that was made by adding the seconds; one that has passed counts as now."""
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=difference)

    assert max(0, difference) == retry_after({"retry-after": format_datetime(moment, usegmt=True)}, now=NOW)


@pytest.mark.parametrize("name", ["retry-after-ms", "Retry-After-Ms", "RETRY-AFTER-MS", b"retry-after-ms", "grpc-retry-pushback-ms"])
def test_milliseconds_go_first(name):
    """They are the finer figure."""
    assert 0.25 == retry_after({"retry-after": "1", name: "250"}, now=NOW)


def test_milliseconds_that_are_rubbish_leave_the_seconds():
    """One bad header does not spoil the other."""
    assert 1.0 == retry_after({"retry-after-ms": "soon", "retry-after": "1"}, now=NOW)


def message(**headers):
    mail = Message()
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    return mail


@pytest.mark.parametrize(
    "headers",
    [
        {"RETRY-after": "7"},
        [("Retry-After", "7")],
        (("retry-after", "7"), ("other", "8")),
        [(b"Retry-After", b"7")],
        httpx.Headers({"Retry-After": "7"}),
        requests.structures.CaseInsensitiveDict({"Retry-After": "7"}),
        multidict.CIMultiDictProxy(multidict.CIMultiDict({"Retry-After": "7"})),
        message(Retry_After="7"),
    ],
    ids=lambda headers: type(headers).__name__,
)
def test_every_kind_of_mapping_is_read(headers):
    """On the error itself, and on its response."""
    places = [Failed(headers=headers), Failed(response=SimpleNamespace(headers=headers)), SimpleNamespace(headers=headers)]

    assert [7.0] * 3 == [retry_after(place, now=NOW) for place in places]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7.0), (0.5, 0.5), ("7", 7.0), (timedelta(minutes=1), 60.0), (timedelta(-1), 0.0), (True, None), (print, None)],
)
def test_an_attribute_may_hold_it(value, expected):
    """Many clients read the header themselves."""
    assert expected == retry_after(Failed(retry_after=value), now=NOW)


class Classy(Exception):
    retry_after = 7


class Inheriting(Classy):
    pass


class Asked(Exception):
    @property
    def headers(self):
        return {"Retry-After": "7"}


class Answering(Exception):
    def __getattr__(self, name):
        if name == "retry_after":
            return 7
        raise AttributeError(name)


class Answered(Exception):
    @property
    def response(self):
        return SimpleNamespace(headers={"Retry-After": "7"})


class Trailing(Exception):
    def trailing_metadata(self):
        return [("retry-after", "7")]


class Mapped(Exception):
    def items(self):
        return [("Retry-After", "7")]


class Deeper(Exception):
    def __getattribute__(self, name):
        return 7 if name == "retry_after" else super().__getattribute__(name)


class Slotted(Exception):
    __slots__ = ("retry_after",)

    def __init__(self):
        self.retry_after = 7


@pytest.mark.parametrize("kind", [Classy, Inheriting, Asked, Answered, Trailing, Mapped, Answering, Deeper, Slotted])
def test_a_class_may_hold_it(kind):
    """Then the error itself has no attributes."""
    assert ({}, 7.0) == (vars(kind()), retry_after(kind(), now=NOW))


def test_an_error_without_attributes_has_the_hint_of_its_context():
    """As of what it was raised from: neither is left out because the error itself holds nothing."""
    by_context, by_cause = TimeoutError(), TimeoutError()
    by_context.__context__ = by_cause.__cause__ = Failed(headers={"Retry-After": "7"})

    assert [7.0, 7.0] == [retry_after(error, now=NOW) for error in (by_context, by_cause)]


def test_the_hint_of_what_it_was_raised_from_counts():
    """Wrapping an error must not lose what the server said."""
    error = Failed()
    error.__cause__ = Failed(headers={"Retry-After": "7"})

    assert 7.0 == retry_after(error, now=NOW)


@pytest.mark.parametrize(("depth", "expected"), [(3, 7.0), (4, None)])
def test_three_causes_deep_is_looked(depth, expected):
    """Further down it is hardly this failure's answer any more."""
    error = Failed(headers={"Retry-After": "7"})
    for _ in range(depth):
        outer = Failed()
        outer.__cause__ = error
        error = outer

    assert expected == retry_after(error, now=NOW)


def test_the_hint_of_the_error_itself_goes_first():
    """What it was raised from is older."""
    error = Failed(headers={"Retry-After": "7"})
    error.__cause__ = Failed(headers={"Retry-After": "9"})

    assert 7.0 == retry_after(error, now=NOW)


def test_botocore_keeps_headers_in_the_metadata_of_an_answer():
    """On the error's response, and on the answer to a call that did not fail."""
    answer = {"ResponseMetadata": {"HTTPHeaders": {"retry-after": "7"}}}

    assert [7.0, 7.0] == [retry_after(source, now=NOW) for source in (answer, Failed(response=answer))]


def test_grpc_keeps_hints_in_its_trailers():
    """A method gives them, as pairs; gRPC proposal A6."""
    error = Failed(trailing_metadata=lambda: (("grpc-status-details-bin", b"x"), ("grpc-retry-pushback-ms", "250")))

    assert 0.25 == retry_after(error, now=NOW)


def test_a_header_under_a_name_that_is_no_text_is_passed_by():
    """Somebody's mapping may hold anything."""
    assert 7.0 == retry_after({("retry-after",): "9", None: "9", "Retry-After": "7"}, now=NOW)


def test_a_real_urllib_error_has_its_headers():
    """They stand in an email message."""
    with urllib.error.HTTPError("http://x/", 503, "busy", message(Retry_After="7"), None) as error:
        assert 7.0 == retry_after(error, now=NOW)


@pytest.mark.parametrize(
    "source", [None, "text", 5, Failed(), Failed(headers=None), Failed(headers="text"), Failed(headers=5), Failed(response=None), [], {}]
)
def test_where_nothing_is_there_is_no_hint(source):
    """Most failures have no headers."""
    assert retry_after(source, now=NOW) is None


def test_what_raises_when_looked_at_is_no_hint():
    """Looking at an error must never replace it."""

    class Shy(Exception):
        @property
        def headers(self):
            raise RuntimeError("not set")

    assert retry_after(Shy(), now=NOW) is None
