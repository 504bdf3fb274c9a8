"""The table of what is retried: error classes by dotted name, and the rule for each.

``docs/what-is-retried.md`` shows this table; a test compares the two. A class is looked up along its MRO, most specific first, under its
full name (``google.api_core.exceptions.Aborted``) and under package and class alone (``httpx.ConnectError``): libraries move
classes between modules, and errors reach users under their public names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.policies import error_rules as rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Rule(NamedTuple):
    """What is done about a class of errors.

    Attributes:
        retried: ``yes``, ``no`` or ``depends``, for the reader.
        why: Why, or on what it depends.
        judge: Judges one error of the class.
    """

    retried: str
    why: str
    judge: Callable[[BaseException], rules.Answer]


def _yes(why: str) -> Rule:
    return _constant("yes", rules.transient(why))


def _no(why: str) -> Rule:
    return _constant("no", rules.permanent(why))


def _constant(retried: str, verdict: rules.Verdict) -> Rule:
    def judge(error: BaseException) -> rules.Answer:
        del error
        return verdict

    return Rule(retried, verdict.reason, judge)


def _by(judge: Callable[[BaseException], rules.Answer], on: str) -> Rule:
    return Rule("depends", on, judge)


def _in(family: Mapping[str, Rule], *packages: str) -> dict[str, Rule]:
    """The same classes in several packages."""
    return {f"{package}.{name}": rule for package in packages for name, rule in family.items()}


_TIMEOUT = _yes("a timeout")
_BROKEN = _yes("a connection that failed or broke")
_CUT_OFF = _yes("an answer that was cut off")
_PROXY = _yes("a proxy that failed")
_BAD_ADDRESS = _no("an address that cannot work")
_BAD_REQUEST = _no("a request that cannot work")
_MALFORMED = _no("an answer that cannot be read")
_REDIRECTS = _no("too many redirects")
_BUG = _no("a programming error")
_CERTIFICATE = _no("a refused certificate")
_STATEMENT = _no("an error of the statement or its data")
_STATUS = _by(rules.by_status, "status: 408, 425, 429 and 5xx yes, but not 501 and 505")
_CONNECTION = _by(rules.by_connection, "yes, but not for an unknown host or a refused certificate underneath")
_TLS = _by(rules.by_connection, "what the TLS error underneath is")
_SQLSTATE = _by(rules.by_sqlstate, "SQLSTATE: 08xxx, 40001, 40P01, 53300, 55P03, 57P01-57P03 yes")
_PG_CONNECTION = _by(rules.by_postgres_connection, "SQLSTATE as above; without one yes, but not for a refused login")
_MYSQL = _by(rules.by_mysql_code, "number: 1040, 1205, 1213, 2002, 2003, 2006, 2013, 2055 yes")
_LLM = _by(rules.by_llm_code, "status, and the type in the body: an exhausted quota no, an overloaded provider yes")

_PYTHON: Mapping[str, Rule] = {
    "TimeoutError": _TIMEOUT,
    "ConnectionError": _BROKEN,
    "OSError": _by(rules.by_errno, "errno: network errors, EAGAIN and EINTR yes; files, permissions, full disks no"),
    "socket.gaierror": _by(rules.by_dns, "yes when no name server answered (EAI_AGAIN), no for an unknown host"),
    "socket.herror": _by(rules.by_old_dns, "yes when no name server answered (TRY_AGAIN), no for an unknown host"),
    "ssl.SSLCertVerificationError": _CERTIFICATE,
    "ssl.SSLEOFError": _BROKEN,
    "ssl.SSLZeroReturnError": _BROKEN,
    "ssl.SSLSyscallError": _BROKEN,
    "ssl.SSLError": _no("a TLS set-up that cannot work"),
    "http.client.RemoteDisconnected": _BROKEN,
    "http.client.IncompleteRead": _CUT_OFF,
    "http.client.BadStatusLine": _CUT_OFF,
    "http.client.HTTPException": _BAD_REQUEST,
    "urllib.error.HTTPError": _STATUS,
    "urllib.error.ContentTooShortError": _CUT_OFF,
    "urllib.error.URLError": _by(rules.instead("reason"), "the error it carries"),
    "asyncio.IncompleteReadError": _CUT_OFF,
    "asyncio.InvalidStateError": _BUG,
    "sqlite3.OperationalError": _by(rules.by_sqlite_code, "yes when the database is busy or locked"),
    "sqlite3.Error": _STATEMENT,
    "smtplib.SMTPServerDisconnected": _BROKEN,
    "smtplib.SMTPResponseException": _by(rules.by_smtp_code, "reply: 4xx yes, 5xx no"),
    "smtplib.SMTPRecipientsRefused": _by(rules.by_smtp_code, "replies: yes when all are 4xx"),
    "smtplib.SMTPException": _BAD_REQUEST,
    "ftplib.error_temp": _yes("a reply that says it is temporary"),
    "ftplib.Error": _no("a reply that says it is permanent"),
    "ExceptionGroup": _by(rules.by_members, "yes when every member is"),
}

_HTTPCORE: Mapping[str, Rule] = {
    "TimeoutException": _TIMEOUT,
    "ConnectError": _CONNECTION,
    "NetworkError": _BROKEN,
    "RemoteProtocolError": _CUT_OFF,
    "ProxyError": _PROXY,
    "LocalProtocolError": _BAD_REQUEST,
    "UnsupportedProtocol": _BAD_ADDRESS,
}

_HTTPX: Mapping[str, Rule] = {
    **_HTTPCORE,
    "HTTPStatusError": _STATUS,
    "DecodingError": _MALFORMED,
    "TooManyRedirects": _REDIRECTS,
    "InvalidURL": _BAD_ADDRESS,
    "CookieConflict": _BAD_REQUEST,
    "StreamError": _BUG,
}

_REQUESTS: Mapping[str, Rule] = {
    "requests.Timeout": _TIMEOUT,
    "requests.SSLError": _TLS,
    "requests.ConnectionError": _CONNECTION,
    "requests.ChunkedEncodingError": _CUT_OFF,
    "requests.HTTPError": _STATUS,
    "requests.RetryError": _by(rules.by_first_argument, "the urllib3 error it carries"),
    "requests.InvalidURL": _BAD_ADDRESS,
    "requests.MissingSchema": _BAD_ADDRESS,
    "requests.InvalidSchema": _BAD_ADDRESS,
    "requests.InvalidHeader": _BAD_REQUEST,
    "requests.TooManyRedirects": _REDIRECTS,
    "requests.ContentDecodingError": _MALFORMED,
    "requests.InvalidJSONError": _MALFORMED,
    "requests.StreamConsumedError": _BUG,
    "urllib3.TimeoutError": _TIMEOUT,
    "urllib3.NewConnectionError": _CONNECTION,
    "urllib3.ProtocolError": _BROKEN,
    "urllib3.IncompleteRead": _CUT_OFF,
    "urllib3.InvalidChunkLength": _CUT_OFF,
    "urllib3.SSLError": _TLS,
    "urllib3.ProxyError": _by(rules.instead("original_error"), "the error it carries"),
    "urllib3.MaxRetryError": _by(rules.instead("reason"), "the error it carries"),
    "urllib3.ResponseError": _by(rules.by_urllib3_text, "the status it names"),
    "urllib3.EmptyPoolError": _yes("a pool without a free connection"),
    "urllib3.FullPoolError": _yes("a pool without room"),
    "urllib3.HTTPError": _BAD_REQUEST,
}

_AIOHTTP: Mapping[str, Rule] = {
    "aiohttp.ClientConnectorCertificateError": _CERTIFICATE,
    "aiohttp.ServerFingerprintMismatch": _CERTIFICATE,
    "aiohttp.ClientSSLError": _TLS,
    "aiohttp.ClientConnectorError": _CONNECTION,
    "aiohttp.ServerTimeoutError": _TIMEOUT,
    "aiohttp.ClientConnectionError": _BROKEN,
    "aiohttp.ClientPayloadError": _CUT_OFF,
    "aiohttp.ContentTypeError": _MALFORMED,
    "aiohttp.TooManyRedirects": _REDIRECTS,
    "aiohttp.ClientResponseError": _STATUS,
    "aiohttp.InvalidURL": _BAD_ADDRESS,
    "aiohttp.NonHttpUrlClientError": _BAD_ADDRESS,
}

_MODELS: Mapping[str, Rule] = {
    "APITimeoutError": _TIMEOUT,
    "APIConnectionError": _CONNECTION,
    "APIResponseValidationError": _MALFORMED,
    "APIError": _LLM,
}

_CLOUD: Mapping[str, Rule] = {
    "botocore.ClientError": _by(rules.by_aws_code, "error code: timeouts and throttling yes; else status"),
    "botocore.ConnectTimeoutError": _TIMEOUT,
    "botocore.ReadTimeoutError": _TIMEOUT,
    "botocore.SSLError": _TLS,
    "botocore.ConnectionError": _CONNECTION,
    "botocore.HTTPClientError": _CONNECTION,
    "botocore.IncompleteReadError": _CUT_OFF,
    "botocore.BotoCoreError": _BAD_REQUEST,
    "google.api_core.exceptions.Aborted": _yes("a transaction that was aborted"),
    "google.api_core.exceptions.DataLoss": _no("lost data"),
    "google.api_core.exceptions.GoogleAPICallError": _STATUS,
    "google.api_core.exceptions.RetryError": _by(rules.instead("cause"), "the error it carries"),
    "google.auth.exceptions.TransportError": _BROKEN,
    "google.auth.exceptions.TimeoutError": _TIMEOUT,
    "google.auth.exceptions.GoogleAuthError": _by(rules.by_google_flag, "its own flag `retryable`"),
    "grpc.RpcError": _by(rules.by_grpc_code, "code: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED yes"),
    "grpc.FutureTimeoutError": _TIMEOUT,
}

_DATABASES: Mapping[str, Rule] = {
    "sqlalchemy.TimeoutError": _yes("a pool without a free connection"),
    "sqlalchemy.DisconnectionError": _BROKEN,
    "sqlalchemy.IntegrityError": _STATEMENT,
    "sqlalchemy.DataError": _STATEMENT,
    "sqlalchemy.ProgrammingError": _STATEMENT,
    "sqlalchemy.NotSupportedError": _STATEMENT,
    "sqlalchemy.DBAPIError": _by(rules.by_sqlalchemy, "yes when the connection was invalidated; else the driver's error"),
    "sqlalchemy.SQLAlchemyError": _STATEMENT,
    "psycopg.OperationalError": _PG_CONNECTION,
    "psycopg.Error": _SQLSTATE,
    "psycopg2.OperationalError": _PG_CONNECTION,
    "psycopg2.Error": _SQLSTATE,
    "asyncpg.PostgresError": _SQLSTATE,
    "asyncpg.InterfaceError": _BAD_REQUEST,
    "pymysql.OperationalError": _MYSQL,
    "pymysql.MySQLError": _STATEMENT,
    "MySQLdb.OperationalError": _MYSQL,
    "MySQLdb.MySQLError": _STATEMENT,
    "mysql.Error": _MYSQL,
    "redis.AuthenticationError": _no("a refused login"),
    "redis.AuthorizationError": _no("a refused login"),
    "redis.ConnectionError": _BROKEN,
    "redis.TimeoutError": _TIMEOUT,
    "redis.ClusterDownError": _yes("a cluster that is down"),
    "redis.TryAgainError": _yes("a cluster that is moving keys"),
    "redis.ReadOnlyError": _yes("a replica, during a failover"),
    "redis.RedisError": _STATEMENT,
    "pymongo.ConnectionFailure": _BROKEN,
    "pymongo.PyMongoError": _by(rules.by_mongo_label, "yes when the server calls it retryable"),
}

_OTHERS: Mapping[str, Rule] = {
    "holdfast.NodeTimeoutError": _TIMEOUT,
    "holdfast.ReplayedError": _yes("a remembered failure of a class that is not known here"),
    "holdfast.HoldfastError": _BAD_REQUEST,
    "msgspec.MsgspecError": _MALFORMED,
}

_BUG_NAMES = """
    ArithmeticError AssertionError AttributeError BufferError ImportError LookupError MemoryError NameError NotImplementedError
    RecursionError ReferenceError StopIteration StopAsyncIteration SyntaxError SystemError TypeError ValueError Warning
"""

_WRAPPERS: Mapping[str, Rule] = {
    "RuntimeError": _no("an error without a number, status or transient cause"),
    "OSError": _no("an error without a number, status or transient cause"),
}

TABLE: Mapping[str, Mapping[str, Rule]] = {
    "Python's standard library": _PYTHON,
    "httpx and httpcore": _in(_HTTPX, "httpx", "httpx2") | _in(_HTTPCORE, "httpcore", "httpcore2"),
    "requests and urllib3": _REQUESTS,
    "aiohttp": _AIOHTTP,
    "openai and anthropic": _in(_MODELS, "openai", "anthropic")
    | {
        "openai.WebSocketConnectionClosedError": _BROKEN,
        "openai.OpenAIError": _BAD_REQUEST,
        "anthropic.ContractSpendLimitReachedError": _no("an exhausted quota"),
        "anthropic.EnforcedSpendLimitReachedError": _no("an exhausted quota"),
        "anthropic.AnthropicError": _BAD_REQUEST,
    },
    "botocore, Google and gRPC": _CLOUD,
    "Databases": _DATABASES,
    "holdfast and msgspec": _OTHERS,
}
"""Families of errors for the reader; within each, the rules by name."""

RULES: Mapping[str, Rule] = {name: rule for family in TABLE.values() for name, rule in family.items()}
"""These are asked first."""

LAST_RULES: Mapping[str, Rule] = dict.fromkeys(_BUG_NAMES.split(), _BUG) | {"json.JSONDecodeError": _no("malformed JSON")} | dict(_WRAPPERS)
"""These are asked last, after an HTTP status that the error may carry: an error class of one's own may well be a ValueError with a status."""

WRAPPERS = frozenset(_WRAPPERS)
"""Of the last ones, those that often carry a failure of another kind: what they were raised from goes first."""
