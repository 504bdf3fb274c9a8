"""The rules one by one, down to the words of their verdicts; what they make of real errors is tested beside their libraries."""

from __future__ import annotations

import socket
import ssl
from itertools import pairwise
from types import SimpleNamespace

import pytest

from holdfast.policies import error_rules as rules
from holdfast.policies.classify import classify
from holdfast.policies.error_table import RULES


class Failure(Exception):
    """An error with whatever attributes a rule looks at."""

    def __init__(self, *args, **fields):
        super().__init__(*args)
        vars(self).update(fields)


def status(number):
    """The verdict on an HTTP status that stays."""
    return (False, f"HTTP {number}")


@pytest.mark.parametrize("name", ["status_code", "status", "http_status", "code"])
@pytest.mark.parametrize(
    ("value", "expected"), [(99, None), (100, 100), (599, 599), (600, None), (True, None), ("503", None), (503.0, None), (None, None)]
)
def test_a_status_is_a_whole_number_that_http_has(name, value, expected):
    """On the error itself, or on its response."""
    found = [rules.http_status(error) for error in (Failure(**{name: value}), Failure(response=SimpleNamespace(**{name: value})))]

    assert [expected, expected] == found


@pytest.mark.parametrize(
    ("number", "expected"),
    [(400, False), (408, True), (425, True), (429, True), (499, False), (500, True), (501, False), (502, True), (505, False), (599, True)],
)
def test_statuses(number, expected):
    """The server's trouble passes, the client's does not."""
    assert (expected, f"HTTP {number}") == rules.status_verdict(number)
    assert (expected, f"HTTP {number}") == rules.by_status(Failure(status=number))


def test_no_status_no_opinion():
    """The next rule is asked."""
    assert rules.by_status(Failure()) is None


@pytest.mark.parametrize(
    ("number", "expected"),
    [(104, (True, "ECONNRESET")), (28, (False, "ENOSPC")), (9999, (False, "errno 9999")), (None, None), ("104", None)],
)
def test_error_numbers(number, expected):
    """By their names; without a number, no opinion."""
    assert expected == rules.by_errno(Failure(errno=number))


def chained(*errors):
    """The first error, raised from the second, raised from the third."""
    for error, source in pairwise(errors):
        error.__cause__ = source
    return errors[0]


BROKEN = (True, "a connection that failed or broke")


@pytest.mark.parametrize("underneath", [ConnectionResetError(), None], ids=repr)
def test_a_connection_error_is_what_stopped_it(underneath):
    """A plain failure underneath, or nothing."""
    assert BROKEN == rules.by_connection(chained(Failure(), underneath) if underneath else Failure())


def test_a_plain_failure_ends_the_search():
    """The first OSError of Python's own says what happened; what it came from does not matter."""
    assert BROKEN == rules.by_connection(chained(Failure(), ConnectionResetError(), ssl.SSLCertVerificationError()))


def test_a_librarys_own_os_error_is_passed_by():
    """It says no more than the error it is underneath."""
    dns = socket.gaierror(socket.EAI_NONAME, "unknown")
    theirs = type("ProxyTrouble", (OSError,), {"__module__": "lib"})()

    assert (dns,) == rules.by_connection(chained(Failure(), theirs, dns))


@pytest.mark.parametrize(("depth", "is_found"), [(1, True), (8, True), (9, False)])
def test_eight_causes_deep_is_looked(depth, is_found):
    """Further down it is hardly the connection's error any more."""
    dns = socket.gaierror(socket.EAI_NONAME, "unknown")
    errors = [Failure(), *[Failure() for _ in range(depth - 1)], dns]

    assert ((dns,) if is_found else BROKEN) == rules.by_connection(chained(*errors))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (socket.EAI_AGAIN, "a name server that did not answer"),
        (socket.EAI_NONAME, "an unknown host"),
        (socket.EAI_SERVICE, "an unknown service or port (EAI_SERVICE)"),
        (socket.EAI_FAIL, "a name that was not resolved (EAI_FAIL)"),
        (9999, "an unknown host"),
    ],
)
def test_dns(number, expected):
    """Silence passes, an unknown name does not."""
    assert (number == socket.EAI_AGAIN, expected) == rules.by_dns(socket.gaierror(number, "x"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, (False, "an unknown host")),
        (2, (True, "a name server that did not answer")),
        (3, (False, "a name server that failed")),
        (4, (False, "an unknown host")),
    ],
)
def test_the_codes_of_the_old_resolver_are_no_errno(number, expected):
    """4 would be EINTR, and retried."""
    assert expected == classify(socket.herror(number, "x"))


def test_errors_that_carry_others():
    """In an attribute, or as the first argument; text there is no error."""
    inner = TimeoutError()
    itself = Failure()
    itself.reason = itself

    assert [(inner,), (inner,), None, None] == [
        rules.instead("reason")(error) for error in (Failure(reason=inner), Failure(reason=inner, other=1), Failure(reason="x"), itself)
    ]
    assert (inner,) == rules.instead("missing", "orig")(Failure(orig=inner))
    assert [(inner,), None, None] == [rules.by_first_argument(error) for error in (Failure(inner), Failure("x"), Failure())]


@pytest.mark.parametrize(("name", "field"), [("urllib3.ProxyError", "original_error"), ("urllib3.MaxRetryError", "reason")])
def test_urllib3s_wrappers_carry_their_error(name, field):
    """Under a name of its own each."""
    inner = TimeoutError()

    assert (inner,) == RULES[name].judge(Failure(**{field: inner}))


def test_google_retries_carry_their_error():
    """What the last attempt raised."""
    inner = TimeoutError()

    assert (inner,) == RULES["google.api_core.exceptions.RetryError"].judge(Failure(cause=inner))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("too many 503 error responses", (True, "HTTP 503")), ("too many 404 error responses", status(404)), ("other", None)],
)
def test_urllib3_names_the_status_in_its_text(text, expected):
    """There is no other place."""
    assert expected == rules.by_urllib3_text(Failure(text))


QUOTA = (False, "an exhausted quota")
OVERLOADED = (True, "an overloaded or failing provider")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *[((word,), QUOTA) for word in ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")],
        *[
            ((word,), OVERLOADED)
            for word in ("overloaded_error", "api_error", "rate_limit_error", "timeout_error", "server_error", "rate_limit_exceeded")
        ],
        (("rate_limit_error", "insufficient_quota"), QUOTA),
        (("other",), status(404)),
        ((5,), status(404)),
    ],
)
def test_model_providers_by_word(words, expected):
    """The word stands on the error, in its body or in the error within the body; a quota outweighs everything, the status comes last."""
    kind, code = words[0], words[-1]

    assert [expected] * 5 == [
        rules.by_llm_code(error)
        for error in (
            Failure(type=kind, code=code, status_code=404),
            Failure(body={"type": kind, "code": code}, status_code=404),
            Failure(body={"type": "error", "error": {"type": kind, "code": code}}, status_code=404),
            Failure(type=kind, body={"code": code}, status_code=404),
            Failure(type=code, body={"type": kind}, status_code=404),
        )
    ]


@pytest.mark.parametrize("body", [None, "text", ["a list"]])
def test_a_body_that_is_none_leaves_the_status(body):
    """Proxies answer in HTML."""
    assert (True, "HTTP 502") == rules.by_llm_code(Failure(body=body, status_code=502))


AWS = [
    "RequestTimeout",
    "RequestTimeoutException",
    "PriorRequestNotComplete",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "TransactionInProgressException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "RequestThrottled",
    "SlowDown",
    "EC2ThrottledException",
]


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        *[({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}, (True, f"AWS {code}")) for code in AWS],
        ({"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, (True, "HTTP 503")),
        ({"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": "503"}}, (False, "AWS Odd")),
        ({"Error": {"Code": "Odd"}}, (False, "AWS Odd")),
        ({}, (False, "AWS ")),
        ("text", None),
    ],
)
def test_aws_by_code_then_status(response, expected):
    """Throttling answers 400."""
    assert expected == rules.by_aws_code(Failure(response=response))


def test_grpc_codes_are_methods_or_values():
    """Channels have a method, some wrappers an attribute; a method that raises is no code."""
    code = SimpleNamespace(name="ABORTED")

    def broken():
        raise RuntimeError

    assert [(True, "gRPC ABORTED")] * 2 == [rules.by_grpc_code(Failure(code=each)) for each in (code, lambda: code)]
    assert [(False, "gRPC None"), None] == [rules.by_grpc_code(error) for error in (Failure(), Failure(code=broken))]


SQLSTATES = {
    "08006": (True, "a broken connection (08006)"),
    "40001": (True, "a serialization failure (40001)"),
    "40P01": (True, "a deadlock (40P01)"),
    "53300": (True, "too many connections (53300)"),
    "55P03": (True, "a lock that was not available (55P03)"),
    "23505": (False, "SQLSTATE 23505"),
}


@pytest.mark.parametrize("field", ["sqlstate", "pgcode"])
@pytest.mark.parametrize(("state", "expected"), SQLSTATES.items())
def test_postgres_by_state(field, state, expected):
    """An OperationalError with a state is judged by it too."""
    assert [expected, expected] == [judge(Failure(**{field: state})) for judge in (rules.by_sqlstate, rules.by_postgres_connection)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server closed the connection", BROKEN),
        *[
            (text, (False, "a refused login"))
            for text in ("password authentication failed for", 'role "x" does not exist', "no pg_hba.conf entry", "no password supplied")
        ],
    ],
)
def test_postgres_connections_without_a_state(text, expected):
    """The text tells a refused login; elsewhere no state means that the client refused."""
    assert expected == rules.by_postgres_connection(Failure(text))
    assert (False, "an error of the client") == rules.by_sqlstate(Failure(text))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1040, (True, "too many connections (1040)")),
        (1205, (True, "a lock wait timeout (1205)")),
        (1213, (True, "a deadlock (1213)")),
        (2002, (True, "a refused connection (2002)")),
        (2003, (True, "a refused connection (2003)")),
        (2006, (True, "a connection that went away (2006)")),
        (2013, (True, "a connection lost during the query (2013)")),
        (2055, (True, "a connection lost during the query (2055)")),
        (1045, (False, "MySQL error 1045")),
    ],
)
def test_mysql_by_number(number, expected):
    """The first argument, or ``errno``, which goes before it."""
    assert [expected, expected] == [rules.by_mysql_code(error) for error in (Failure(number, "text"), Failure("text", errno=number))]


def test_mysql_without_a_number():
    """Nothing to tell it by."""
    assert (False, "MySQL error None") == rules.by_mysql_code(Failure())


def test_sqlalchemy_by_connection_then_driver():
    """Only a plain True says that the connection is gone."""
    inner = TimeoutError()

    assert [(True, "a broken connection"), (inner,), (inner,)] == [
        rules.by_sqlalchemy(Failure(connection_invalidated=gone, orig=inner)) for gone in (True, False, 1)
    ]


LOCKED, OTHER = (True, "a locked database"), (False, "an error of the statement or the file")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *[
            (Failure(sqlite_errorcode=code), LOCKED) for code in (5, 6, 5 | 1 << 8, 5 | 2 << 8, 6 | 1 << 8)
        ],  # BUSY, LOCKED and extended codes
        *[(Failure(sqlite_errorcode=code), OTHER) for code in (1, 4, 7, 5 << 8, 8 | 5 << 8)],
        (Failure("database is locked"), LOCKED),
        (Failure("database is locked", sqlite_errorcode=1), OTHER),
        (Failure("no such table"), OTHER),
    ],
)
def test_sqlite_by_the_low_byte_of_its_code(error, expected):
    """The rest of an extended code is a detail; without a code, the text."""
    assert expected == rules.by_sqlite_code(error)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["RetryableWriteError"], (True, "an error the server calls retryable")),
        (["TransientTransactionError", "x"], (True, "an error the server calls retryable")),
        (["x"], (False, "an error of the statement or its data")),
    ],
)
def test_mongo_by_label(labels, expected):
    """The server says what is retryable."""
    assert expected == rules.by_mongo_label(Failure(has_error_label=labels.__contains__))


def test_mongo_without_labels():
    """An older driver."""
    assert (False, "an error of the statement or its data") == rules.by_mongo_label(Failure())


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"smtp_code": 399}, (False, "SMTP 399")),
        ({"smtp_code": 400}, (True, "SMTP 400")),
        ({"smtp_code": 499}, (True, "SMTP 499")),
        ({"smtp_code": 500}, (False, "SMTP 500")),
        ({"smtp_code": "450"}, None),
        ({"recipients": {}}, None),
        ({"recipients": {"a": (450, b""), "b": (452, b"")}}, (True, "SMTP 450")),
        ({"recipients": {"a": (450, b""), "b": (550, b"")}}, (False, "SMTP 450")),
        ({"recipients": {"a": (450, b""), "b": ("x", b"")}}, None),
        ({}, None),
    ],
)
def test_smtp_by_reply(fields, expected):
    """4xx passes, when every recipient was answered so."""
    assert expected == rules.by_smtp_code(Failure(**fields))


@pytest.mark.parametrize(("flag", "expected"), [(True, True), (False, False), (1, False), (None, False)])
def test_google_auth_by_flag(flag, expected):
    """Its own word, when it is one."""
    assert (expected, "what google-auth says") == rules.by_google_flag(Failure(retryable=flag))
