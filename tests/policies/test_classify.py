"""What an error is, by its class, its status, and what it was raised from."""

from __future__ import annotations

import asyncio
import errno
import ftplib
import http.client
import json
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import sys
import urllib.error

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast.policies.classify import Verdict, classify, is_transient
from holdfast.values.raising import VERDICT

PROGRAMMING_ERRORS = [
    TypeError("x"),
    ValueError("x"),
    KeyError("x"),
    IndexError("x"),
    AttributeError("x"),
    AssertionError("x"),
    NotImplementedError("x"),
    ImportError("x"),
    ModuleNotFoundError("x"),
    NameError("x"),
    SyntaxError("x"),
    ZeroDivisionError("x"),
    OverflowError("x"),
    RecursionError("x"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
    StopIteration("x"),
    StopAsyncIteration("x"),
    UserWarning("x"),
    json.JSONDecodeError("x", "x", 0),
    asyncio.InvalidStateError("x"),
]


class Unknown(Exception):
    """An error class of one's own."""


class ApiError(Exception):
    def __init__(self, **fields):
        super().__init__("failed")
        vars(self).update(fields)


class Response:
    def __init__(self, **fields):
        vars(self).update(fields)


def raised(error, *, cause=None, context=None):
    """The same error as if raised ``from cause``, or inside ``except context``."""
    error.__context__ = context
    if cause is not None:
        error.__cause__ = cause
    return error


def os_error(name):
    return OSError(getattr(errno, name), name)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError(),
        ConnectionResetError(),
        ConnectionRefusedError(),
        ConnectionAbortedError(),
        BrokenPipeError(),
        TimeoutError(),
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        *map(os_error, ["ECONNRESET", "ETIMEDOUT", "EPIPE", "ENETUNREACH", "EHOSTUNREACH", "EAGAIN", "EINTR", "ENETDOWN"]),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        ssl.SSLZeroReturnError(6, "closed"),
        http.client.RemoteDisconnected(),
        http.client.IncompleteRead(b"half"),
        http.client.BadStatusLine("rubbish"),
        urllib.error.URLError(ConnectionResetError()),
        urllib.error.ContentTooShortError("short", b""),
        asyncio.IncompleteReadError(b"half", 100),
        smtplib.SMTPServerDisconnected(),
        smtplib.SMTPConnectError(421, b"busy"),
        smtplib.SMTPDataError(451, b"later"),
        smtplib.SMTPRecipientsRefused({"a@b": (450, b"later"), "c@d": (452, b"full")}),
        ftplib.error_temp("421 busy"),
        errors.NodeTimeoutError("task", 1.0),
        errors.ReplayedError("httpx.ConnectError", "gone"),
        ExceptionGroup("both", [TimeoutError(), ConnectionResetError()]),
    ],
    ids=repr,
)
def test_passing_failures_are_transient(error):
    """The same call may well succeed a moment later."""
    assert classify(error).is_transient, classify(error)


@pytest.mark.parametrize(
    "error",
    [
        *PROGRAMMING_ERRORS,
        RuntimeError("x"),
        OSError("x"),
        FileNotFoundError(errno.ENOENT, "x"),
        PermissionError(errno.EACCES, "x"),
        IsADirectoryError(errno.EISDIR, "x"),
        os_error("ENOSPC"),
        os_error("EMFILE"),
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        ssl.SSLCertVerificationError(1, "certificate verify failed"),
        ssl.SSLError(1, "wrong version number"),
        http.client.InvalidURL("x"),
        http.client.CannotSendRequest("x"),
        urllib.error.URLError("unknown url type: gopher"),
        urllib.error.URLError(ssl.SSLCertVerificationError(1, "x")),
        smtplib.SMTPAuthenticationError(535, b"no"),
        smtplib.SMTPRecipientsRefused({"a@b": (450, b"later"), "c@d": (550, b"unknown")}),
        smtplib.SMTPNotSupportedError("x"),
        ftplib.error_perm("550 no"),
        sqlite3.OperationalError("no such table: x"),
        sqlite3.IntegrityError("x"),
        errors.PolicyError("x"),
        errors.TaskContextError("x"),
        errors.NotSerializable("x"),
        errors.StoreError("x"),
        ExceptionGroup("one of them", [TimeoutError(), ValueError()]),
    ],
    ids=repr,
)
def test_failures_that_stay_are_not(error):
    """The same call would fail again."""
    assert not classify(error).is_transient, classify(error)


def test_a_database_locked_by_another_process_is_transient(tmp_path):
    """Real SQLite: the writer that comes second."""
    first, second = (sqlite3.connect(tmp_path / "x.db", timeout=0, isolation_level=None) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        second.execute("BEGIN EXCLUSIVE")
    first.close()
    second.close()

    assert (True, "a locked database") == classify(caught.value)


@given(status=st.integers(400, 599))
def test_the_status_decides_for_classes_nobody_knows(status):
    """Independent oracle: 5xx and three of 4xx, but not the two that say "never"."""
    expected = status in {408, 425, 429} or (500 <= status <= 599 and status not in {501, 505})
    carriers = [
        ApiError(status_code=status),
        ApiError(status=status),
        ApiError(http_status=status),
        ApiError(code=status),
        ApiError(response=Response(status_code=status)),
        ApiError(response=Response(status=status)),
    ]

    assert [(expected, f"HTTP {status}")] * len(carriers) == [classify(error) for error in carriers]


def test_a_status_goes_before_a_builtin_base():
    """An API error may derive from ValueError or RuntimeError."""

    class BadGateway(ValueError):
        status_code = 502

    class Missing(RuntimeError):
        status_code = 404

    assert [True, False] == [is_transient(BadGateway()), is_transient(Missing())]


@pytest.mark.parametrize("value", [True, "503", 503.0, 0, 200, 1006, None, lambda: 503])
def test_what_is_no_status_is_not_taken_for_one(value):
    """The class decides then, and nobody knows it."""
    assert "an error of unknown kind" == classify(ApiError(status=value)).reason


def test_a_property_that_raises_does_not_replace_the_error():
    """Some libraries' attributes raise when unset."""

    class Shy(Exception):
        @property
        def response(self):
            raise RuntimeError("not set")

    assert (True, "an error of unknown kind") == classify(Shy())


def test_unknown_errors_are_transient():
    """Whoever gives a task a retry policy wants it retried; LangGraph does the same."""
    assert [True, True] == [is_transient(Unknown()), is_transient(Exception("x"))]


@pytest.mark.parametrize("wrapper", [Unknown, RuntimeError, OSError])
def test_an_error_raised_from_a_transient_one_is_transient(wrapper):
    """Wrapping a failure in a class of one's own does not change what it is."""
    assert (True, "a timeout (TimeoutError)") == classify(raised(wrapper("x"), cause=TimeoutError()))
    assert is_transient(raised(wrapper("x"), context=TimeoutError()))


def test_an_unknown_error_raised_from_one_that_stays_is_not_transient():
    """``raise ApiError(...) from not_found`` is a 404."""
    verdict = classify(raised(Unknown(), cause=ApiError(status_code=404)))

    assert (False, True) == (verdict.is_transient, verdict.reason.startswith("HTTP 404 ("))


def test_being_raised_while_another_error_is_handled_proves_little():
    """After ``except KeyError:`` a fetch may well fail for a moment."""
    assert is_transient(raised(Unknown(), context=KeyError()))


def test_from_none_hides_what_came_before():
    """The author said that it does not belong."""
    error = raised(RuntimeError(), context=TimeoutError())
    error.__suppress_context__ = True

    assert not is_transient(error)


@pytest.mark.parametrize("error", PROGRAMMING_ERRORS, ids=repr)
def test_a_programming_error_stays_one(error):
    """A KeyError in a handler is a bug, whatever is being handled."""
    assert not is_transient(raised(error, context=TimeoutError()))


def test_malformed_json_is_called_that():
    """Whoever reads why an answer was not retried need not look for a bug."""
    assert Verdict(is_transient=False, reason="malformed JSON") == classify(json.JSONDecodeError("x", "x", 0))


def test_chains_that_bite_their_tail_end():
    """Foreign code can make them."""
    first, second = Unknown(), Unknown()
    first.__cause__, second.__cause__ = second, first

    assert is_transient(first)


def test_wrapped_errors_that_wrap_each_other_end():
    """The same with errors that carry others."""
    first, second = urllib.error.URLError("x"), urllib.error.URLError("x")
    first.reason, second.reason = second, first

    assert not is_transient(first)


@pytest.mark.parametrize("judge", [is_transient, lambda error: classify(error).is_transient], ids=["is_transient", "classify"])
def test_eight_errors_deep_is_looked(judge):
    """Further down, what an error was raised from, or wraps, is hardly this failure any more."""

    def raised_from(depth):
        error = KeyError()
        for _ in range(depth):
            error = raised(Unknown(), cause=error)
        return error

    def wrapped(depth):
        error = TimeoutError()
        for _ in range(depth):
            error = urllib.error.URLError(error)
        return error

    assert [False, True] == [judge(raised_from(depth)) for depth in (8, 9)]
    assert [True, False] == [judge(wrapped(depth)) for depth in (8, 9)]


def test_nested_groups_are_judged_by_every_member():
    """One failure that stays spoils the group."""
    inner = ExceptionGroup("inner", [TimeoutError(), KeyError()])

    assert not is_transient(ExceptionGroup("outer", [ConnectionError(), inner]))


def test_a_subclass_of_ones_own_is_what_its_base_is():
    """The table is looked up along the MRO, most specific first."""

    class Gone(ConnectionResetError):
        pass

    class Strange(KeyError):
        pass

    assert [True, False] == [is_transient(Gone()), is_transient(Strange())]


def test_no_library_is_imported():
    """Classification goes by names and attributes: none of the libraries it knows is loaded by it."""
    code = """
import sys
from holdfast.policies import classify
from holdfast.policies.error_table import RULES
classify(ConnectionError()); classify(type("ConnectError", (Exception,), {"__module__": "httpx"})())
known = {name.partition(".")[0] for name in RULES if "." in name} - {"holdfast", "msgspec"} - set(sys.stdlib_module_names)
heavy = {"asyncio", "sqlite3", "ssl", "smtplib", "ftplib", "http.client", "urllib.error", "email.utils", "socket"}
print(sorted(heavy & set(sys.modules)), sorted(known & set(sys.modules)), len(known) > 15)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[] True" == done.stdout.strip().partition(" ")[2]


def test_an_error_raised_again_is_what_the_original_was():
    """Whatever its class alone would say; also where it is the cause of another."""
    error = ConnectionResetError()
    vars(error)[VERDICT] = (False, "HTTP 404")
    own = type("OwnError", (Exception,), {})()
    own.__cause__ = error

    assert Verdict(is_transient=False, reason="HTTP 404") == classify(error)
    assert not is_transient(own)
