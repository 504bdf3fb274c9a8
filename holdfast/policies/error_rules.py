"""How an error is judged when its class alone does not say: by status, by error number, by the code a server gave.

A rule looks at an error and answers with a verdict; or with other errors to be judged in its place, all of which must be transient; or
with None when it has no opinion. Rules import no library: they read attributes.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from holdfast.policies.attributes import attribute, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Verdict(NamedTuple):
    """What an error is.

    Attributes:
        is_transient: True when the same call may well succeed a moment later.
        reason: Why, in a few words: ``HTTP 503``, ``a timeout``, ``a programming error``.
    """

    is_transient: bool
    reason: str


def transient(reason: str) -> Verdict:
    """The verdict that the same call may well succeed a moment later."""
    return Verdict(is_transient=True, reason=reason)


def permanent(reason: str) -> Verdict:
    """The verdict that the same call would fail again."""
    return Verdict(is_transient=False, reason=reason)


Answer: TypeAlias = "Verdict | Sequence[BaseException] | None"
"""A verdict, errors to be judged instead, or None for no opinion."""

_MAX_DEPTH = 8  # how far a chain of causes is followed
_NEVER_BETTER = {501, 505}  # not implemented, HTTP version not supported: the server says it cannot, not that it could not
_STATUS_NAMES = ("status_code", "status", "http_status", "code")
_ERRNO_NAMES = (  # not every platform has all of them
    "EAGAIN EINTR EPIPE ECONNABORTED ECONNREFUSED ECONNRESET EADDRNOTAVAIL EHOSTDOWN EHOSTUNREACH "
    "ENETDOWN ENETRESET ENETUNREACH ENOBUFS ENOTCONN ESHUTDOWN ETIMEDOUT"
)
_ERRNOS = frozenset(number for number, name in errno.errorcode.items() if name in _ERRNO_NAMES.split())
# botocore's own lists: botocore/retries/standard.py, _TRANSIENT_ERROR_CODES and _THROTTLED_ERROR_CODES
_AWS_CODES = """
    RequestTimeout RequestTimeoutException PriorRequestNotComplete Throttling ThrottlingException ThrottledException
    RequestThrottledException TooManyRequestsException ProvisionedThroughputExceededException TransactionInProgressException
    RequestLimitExceeded BandwidthLimitExceeded LimitExceededException RequestThrottled SlowDown EC2ThrottledException
"""
_GRPC_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"})
# https://www.postgresql.org/docs/current/errcodes-appendix.html; class 08 (connection) counts as a whole
_SQLSTATES = {
    "40001": "a serialization failure",
    "40P01": "a deadlock",
    "53300": "too many connections",
    "55P03": "a lock that was not available",
    "57P01": "a server shutting down",
    "57P02": "a crash of the server",
    "57P03": "a server starting up",
}
_REFUSED_BY_POSTGRES = re.compile("authentication failed|does not exist|no pg_hba.conf entry|no password supplied")
# https://dev.mysql.com/doc/mysql-errors/8.0/en/
_MYSQL_CODES = {
    1040: "too many connections",
    1205: "a lock wait timeout",
    1213: "a deadlock",
    2002: "a refused connection",
    2003: "a refused connection",
    2006: "a connection that went away",
    2013: "a connection lost during the query",
    2055: "a connection lost during the query",
}
_OUT_OF_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_OVERLOADED = {"overloaded_error", "api_error", "rate_limit_error", "timeout_error", "server_error", "rate_limit_exceeded"}
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_TRY_AGAIN, _NO_RECOVERY = 2, 3  # of h_errno: https://man7.org/linux/man-pages/man3/gethostbyname.3.html


def by_status(error: BaseException) -> Answer:
    """Judge by the HTTP status the error carries: 408, 425, 429 and 5xx are transient, but not 501 and 505."""
    status = http_status(error)
    return None if status is None else status_verdict(status)


def http_status(error: BaseException) -> int | None:
    """The HTTP status an error or its response carries, under any of the usual names."""
    for thing in (error, attribute(error, "response")):
        for name in _STATUS_NAMES:
            value = attribute(thing, name)
            if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:  # noqa: PLR2004 - what HTTP has
                return int(value)
    return None


def status_verdict(status: int) -> Verdict:
    """Judge an HTTP status."""
    is_transient = status in {408, 425, 429} or (status >= 500 and status not in _NEVER_BETTER)  # noqa: PLR2004 - server errors
    return Verdict(is_transient, f"HTTP {status}")


def by_errno(error: BaseException) -> Answer:
    """Judge an OSError by its number; without one, no opinion."""
    number = attribute(error, "errno")
    if not isinstance(number, int):
        return None
    return Verdict(number in _ERRNOS, errno.errorcode.get(number, f"errno {number}"))


def by_dns(error: BaseException) -> Answer:
    """Judge a `socket.gaierror` by its code: a name server that did not answer is transient, an unknown host is not."""
    import socket  # loaded already when there is a gaierror

    code = attribute(error, "errno")
    names = [name for name, value in vars(socket).items() if name.startswith("EAI_") and value == code]
    if "EAI_AGAIN" in names:
        return transient("a name server that did not answer")
    if "EAI_SERVICE" in names:
        return permanent("an unknown service or port (EAI_SERVICE)")
    is_unknown = not names or "EAI_NONAME" in names or "EAI_NODATA" in names
    return permanent("an unknown host" if is_unknown else f"a name that was not resolved ({names[0]})")


def by_old_dns(error: BaseException) -> Answer:
    """Judge a `socket.herror`, whose codes are those of ``h_errno`` (netdb.h) and no ``errno``."""
    code = attribute(error, "errno")
    if code == _TRY_AGAIN:
        return transient("a name server that did not answer")
    return permanent("a name server that failed" if code == _NO_RECOVERY else "an unknown host")


def by_connection(error: BaseException) -> Answer:
    """Judge a library's connection error: transient, unless DNS or TLS underneath says otherwise."""
    inner: BaseException | None = error
    for _ in range(_MAX_DEPTH):
        inner = None if inner is None else inner.__cause__ or inner.__context__  # httpcore says `from None` on the way
        if isinstance(inner, OSError) and type(inner).__module__ in {"builtins", "socket", "ssl"}:
            return (inner,) if type_name(inner).startswith(("ssl.", "socket.")) else transient("a connection that failed or broke")
    return transient("a connection that failed or broke")


def instead(*names: str) -> Callable[[BaseException], Answer]:
    """A rule that judges the error held by the first of these attributes that holds one."""

    def rule(error: BaseException) -> Answer:
        for name in names:
            value = attribute(error, name)
            if isinstance(value, BaseException) and value is not error:
                return (value,)
        return None

    return rule


def by_first_argument(error: BaseException) -> Answer:
    """Judge the error that this one wraps as its first argument."""
    first = error.args[0] if error.args else None
    return (first,) if isinstance(first, BaseException) else None


def by_members(error: BaseException) -> Answer:
    """Judge an exception group by its members."""
    return cast("Sequence[BaseException]", attribute(error, "exceptions"))


def by_urllib3_text(error: BaseException) -> Answer:
    """Judge urllib3's "too many 503 error responses" by the status in the text."""
    found = re.match(r"too many (\d{3}) error responses", str(error))
    return status_verdict(int(found[1])) if found else None


def by_llm_code(error: BaseException) -> Answer:
    """Judge an answer of a model provider by the type in its body, then by status; an exhausted quota answers 429 and is not transient."""
    words = _words({"code": attribute(error, "code"), "type": attribute(error, "type"), "error": attribute(error, "body")})
    if words & _OUT_OF_QUOTA:
        return permanent("an exhausted quota")
    if words & _OVERLOADED:
        return transient("an overloaded or failing provider")
    return by_status(error)


def _words(body: Any) -> set[str]:
    if not isinstance(body, dict):
        return set()
    fields = cast("dict[str, Any]", body)
    own = {word for word in (fields.get("type"), fields.get("code")) if isinstance(word, str)}
    return own | _words(fields.get("error"))


def by_aws_code(error: BaseException) -> Answer:
    """Judge a botocore ClientError by ``Error.Code``, then by status."""
    response = attribute(error, "response")
    if not isinstance(response, dict):
        return None
    fields = cast("dict[str, dict[str, Any]]", response)
    code = str(fields.get("Error", {}).get("Code", ""))
    if code in _AWS_CODES.split():
        return transient(f"AWS {code}")
    status = fields.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status_verdict(status) if isinstance(status, int) else permanent(f"AWS {code}")


def by_grpc_code(error: BaseException) -> Answer:
    """Judge a gRPC error by its status code."""
    code = attribute(error, "code")
    try:
        name = str(attribute(code() if callable(code) else code, "name"))
    except Exception:  # noqa: BLE001 - looking at an error must never replace it
        return None
    return Verdict(name in _GRPC_CODES, f"gRPC {name}")


def by_sqlstate(error: BaseException) -> Answer:
    """Judge a PostgreSQL error by its SQLSTATE."""
    state = attribute(error, "sqlstate") or attribute(error, "pgcode")
    if not isinstance(state, str):
        return permanent("an error of the client")
    if state.startswith("08"):
        return transient(f"a broken connection ({state})")
    return transient(f"{_SQLSTATES[state]} ({state})") if state in _SQLSTATES else permanent(f"SQLSTATE {state}")


def by_postgres_connection(error: BaseException) -> Answer:
    """Judge an OperationalError: by SQLSTATE; without one it is a connection that failed, unless the server refused the login."""
    if attribute(error, "sqlstate") or attribute(error, "pgcode"):
        return by_sqlstate(error)
    return permanent("a refused login") if _REFUSED_BY_POSTGRES.search(str(error)) else transient("a connection that failed or broke")


def by_mysql_code(error: BaseException) -> Answer:
    """Judge a MySQL error by its number."""
    number = attribute(error, "errno") or (error.args[0] if error.args else None)
    if number in _MYSQL_CODES:
        return transient(f"{_MYSQL_CODES[number]} ({number})")
    return permanent(f"MySQL error {number}")


def by_sqlalchemy(error: BaseException) -> Answer:
    """Judge by whether the connection was invalidated, then by the driver's own error."""
    if attribute(error, "connection_invalidated") is True:
        return transient("a broken connection")
    return instead("orig")(error)


def by_sqlite_code(error: BaseException) -> Answer:
    """Judge an OperationalError of SQLite: busy or locked is transient."""
    code = attribute(error, "sqlite_errorcode")
    is_busy = code & 0xFF in {_SQLITE_BUSY, _SQLITE_LOCKED} if isinstance(code, int) else " is locked" in str(error)
    return Verdict(is_busy, "a locked database" if is_busy else "an error of the statement or the file")


def by_mongo_label(error: BaseException) -> Answer:
    """Judge by the labels the server set: RetryableWriteError, TransientTransactionError."""
    has_label = attribute(error, "has_error_label")
    labels = ("RetryableWriteError", "TransientTransactionError")
    if callable(has_label) and any(has_label(label) for label in labels):
        return transient("an error the server calls retryable")
    return permanent("an error of the statement or its data")


def by_smtp_code(error: BaseException) -> Answer:
    """Judge by the reply: 4xx is transient, 5xx is not (RFC 5321 section 4.2.1)."""
    refused = attribute(error, "recipients")
    replies = cast("dict[str, tuple[Any, ...]]", refused).values() if isinstance(refused, dict) else [(attribute(error, "smtp_code"),)]
    codes = [reply[0] for reply in replies]
    if not codes or not all(isinstance(code, int) for code in codes):
        return None
    is_transient = all(400 <= code < 500 for code in codes)  # noqa: PLR2004 - see the docstring
    return Verdict(is_transient, f"SMTP {codes[0]}")


def by_google_flag(error: BaseException) -> Answer:
    """Judge a google-auth error by its own ``retryable``."""
    return Verdict(attribute(error, "retryable") is True, "what google-auth says")
