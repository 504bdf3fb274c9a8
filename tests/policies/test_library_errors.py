"""Errors of libraries beyond the HTTP clients.

openai, anthropic, sqlalchemy and redis are the real ones, on real sockets and a real SQLite file; so are botocore, grpc, psycopg and pymysql,
in `test_real_services.py`. asyncpg (12 MB), pymongo (6 MB) and Google's clients (26 MB) would make the installation heavier than they are
worth here, psycopg2 needs a compiler, and the rarer codes of the others need servers that answer so: stand-ins with the same dotted class
names, bases and attributes take their place, written down from botocore 1.44, grpcio 1.85, psycopg 3.3, asyncpg 0.32, pymongo 4.20,
PyMySQL 1.2, google-api-core 2.44 and google-auth 2.62.
"""

from __future__ import annotations

import json
import ssl
from types import SimpleNamespace

import anthropic
import openai
import pytest
import redis
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.pool import QueuePool

from holdfast.policies.classify import classify
from holdfast.policies.pushback import retry_after


def stand_in(dotted, *bases, **attributes):
    """A class with the name, module and bases of a library's class."""
    module, _, name = dotted.rpartition(".")
    return type(name, bases or (Exception,), {"__module__": module, **attributes})


def ask(package, url, *, timeout=30, **options):
    """One call through a real client of openai or anthropic."""
    client = (openai.OpenAI if package == "openai" else anthropic.Anthropic)(
        api_key="x", base_url=url, max_retries=0, timeout=timeout, **options
    )
    with client, pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the tests ask
        client.models.list()
    return caught.value


PACKAGES = pytest.mark.parametrize("package", ["openai", "anthropic"])


@PACKAGES
@pytest.mark.parametrize("behaviour", ["reset", "cut_off", "silence", (429,), (503,), (529,)])
def test_model_providers_in_a_bad_moment(package, behaviour, serve):
    """The real client, a real socket."""
    with serve(behaviour) as url:
        error = ask(package, url, timeout=0.3 if behaviour == "silence" else 30)

    assert classify(error).is_transient, repr(error)


@PACKAGES
@pytest.mark.parametrize("status", [401, 404, 409, 501])
def test_model_providers_that_refuse(package, status, serve):
    """The same request would be refused again."""
    with serve((status,)) as url:
        error = ask(package, url)

    assert (False, f"HTTP {status}") == classify(error), repr(error)


@PACKAGES
def test_model_providers_that_refuse_connections(package, closed_port):
    """A provider that restarts."""
    assert classify(ask(package, closed_port)).is_transient


@PACKAGES
def test_model_providers_say_when(package, serve):
    """The hint stands on the response of the error."""
    with serve((429, "retry-after-ms: 1500\r\n")) as url:
        error = ask(package, url)

    assert 1.5 == retry_after(error, now=0.0)


def provider_error(kind, code=None):
    """The body both providers send with an error."""
    return json.dumps({"type": "error", "error": {"type": kind, "code": code, "message": "failed"}})


@PACKAGES
@pytest.mark.parametrize(
    ("code", "expected"), [("insufficient_quota", (False, "an exhausted quota")), (None, (True, "an overloaded or failing provider"))]
)
def test_an_exhausted_quota_is_not_transient(package, code, expected, serve):
    """It answers 429 like a rate limit, and stays."""
    with serve((429, "Content-Type: application/json\r\n", provider_error(code or "rate_limit_error", code))) as url:
        error = ask(package, url)

    assert expected == classify(error)


@pytest.mark.parametrize(("kind", "is_transient"), [("overloaded_error", True), ("invalid_request_error", False)])
def test_a_stream_may_break_off_after_a_200(kind, is_transient, serve):
    """Then only the event's own type tells."""
    event = f"event: error\ndata: {provider_error(kind)}\n\n"
    with (
        serve((200, "Content-Type: text/event-stream\r\n", event)) as url,
        anthropic.Anthropic(api_key="x", base_url=url, max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        list(client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], stream=True))

    assert is_transient == classify(caught.value).is_transient


def test_a_client_that_cannot_work_is_not_transient():
    """No key, no attempt."""
    assert not classify(openai.OpenAIError("api_key must be set")).is_transient


def test_sqlalchemy_with_a_locked_database(tmp_path):
    """The driver's error decides: the real one, from a real file."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/x.db", connect_args={"timeout": 0})
    with engine.connect() as first, engine.connect() as second:
        first.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(sqlalchemy.exc.OperationalError) as locked:
            second.exec_driver_sql("BEGIN EXCLUSIVE")
        first.rollback()
        with pytest.raises(sqlalchemy.exc.OperationalError) as missing:
            second.exec_driver_sql("SELECT * FROM missing")
    engine.dispose()

    assert [(True, "a locked database"), (False, "an error of the statement or the file")] == [classify(e.value) for e in (locked, missing)]


def test_sqlalchemy_with_an_exhausted_pool():
    """A connection may be free a moment later."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with engine.connect(), pytest.raises(sqlalchemy.exc.TimeoutError) as caught:
        engine.connect()
    engine.dispose()

    assert classify(caught.value).is_transient


PSYCOPG = stand_in("psycopg.Error", sqlstate=None)
PSYCOPG_OPERATIONAL = stand_in("psycopg.OperationalError", stand_in("psycopg.DatabaseError", PSYCOPG))


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (sqlalchemy.exc.DBAPIError("SELECT 1", {}, Exception("gone"), connection_invalidated=True), True),
        (
            sqlalchemy.exc.OperationalError(
                "SELECT 1", {}, stand_in("psycopg.errors.DeadlockDetected", PSYCOPG_OPERATIONAL, sqlstate="40P01")()
            ),
            True,
        ),
        (
            sqlalchemy.exc.OperationalError("SELECT 1", {}, stand_in("psycopg.errors.DiskFull", PSYCOPG_OPERATIONAL, sqlstate="53100")()),
            False,
        ),
        (sqlalchemy.exc.IntegrityError("INSERT", {}, Exception("duplicate")), False),
        (sqlalchemy.exc.ProgrammingError("SELEC", {}, Exception("syntax")), False),
        (sqlalchemy.exc.DisconnectionError(), True),
        (sqlalchemy.exc.NoResultFound(), False),
        (sqlalchemy.exc.PendingRollbackError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sqlalchemy_by_connection_and_driver(error, is_transient):
    """Real SQLAlchemy classes around what a driver raised."""
    assert is_transient == classify(error).is_transient, classify(error)


def test_redis_that_refuses(closed_port):
    """The real client on a closed port."""
    client = redis.Redis(port=int(closed_port.rsplit(":", 1)[1].rstrip("/")), retry=None)
    with client, pytest.raises(redis.ConnectionError) as caught:
        client.ping()

    assert classify(caught.value).is_transient


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (redis.exceptions.TimeoutError(), True),
        (redis.exceptions.BusyLoadingError(), True),
        (redis.exceptions.ReadOnlyError(), True),
        (redis.exceptions.ClusterDownError("CLUSTERDOWN"), True),
        (redis.exceptions.TryAgainError(), True),
        (redis.exceptions.AuthenticationError(), False),
        (redis.exceptions.AuthorizationError(), False),
        (redis.exceptions.ResponseError("WRONGTYPE"), False),
        (redis.exceptions.DataError(), False),
    ],
    ids=repr,
)
def test_redis_by_class(error, is_transient):
    """Real redis-py classes."""
    assert is_transient == classify(error).is_transient


@pytest.mark.parametrize(
    ("state", "is_transient"),
    [
        *[(state, True) for state in ("08000", "08003", "08006", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03")],
        *[(state, False) for state in ("23505", "42601", "42P01", "22001", "28P01", "53100", "57014")],
    ],
)
@pytest.mark.parametrize(
    "cls",
    [
        stand_in("psycopg.errors.Some", PSYCOPG_OPERATIONAL),
        stand_in("psycopg2.errors.Some", stand_in("psycopg2.Error")),
        stand_in("asyncpg.exceptions.Some", stand_in("asyncpg.exceptions._base.PostgresError")),
    ],
    ids=lambda cls: cls.__module__.partition(".")[0],
)
def test_postgres_by_sqlstate(cls, state, is_transient):
    """The three drivers keep it under two names."""
    error = cls("failed")
    setattr(error, "pgcode" if cls.__module__.startswith("psycopg2") else "sqlstate", state)

    assert is_transient == classify(error).is_transient


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (PSYCOPG_OPERATIONAL("server closed the connection unexpectedly"), True),
        (PSYCOPG_OPERATIONAL('connection failed: FATAL: password authentication failed for user "x"'), False),
        (PSYCOPG_OPERATIONAL('connection failed: FATAL: database "x" does not exist'), False),
        (stand_in("psycopg.InterfaceError", PSYCOPG)("the connection is closed"), False),
        (stand_in("asyncpg.exceptions._base.InterfaceError")("the connection is closed"), False),
    ],
    ids=str,
)
def test_postgres_without_sqlstate(error, is_transient):
    """An OperationalError without one is a connection that failed, unless the server refused the login."""
    assert is_transient == classify(error).is_transient


MYSQL = stand_in("pymysql.err.MySQLError")
MYSQL_OPERATIONAL = stand_in("pymysql.err.OperationalError", stand_in("pymysql.err.DatabaseError", MYSQL))


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (MYSQL_OPERATIONAL(1213, "Deadlock found"), True),
        (MYSQL_OPERATIONAL(2013, "Lost connection"), True),
        (MYSQL_OPERATIONAL(1045, "Access denied"), False),
        (MYSQL_OPERATIONAL("odd"), False),
        (stand_in("pymysql.err.IntegrityError", MYSQL)(1062, "Duplicate entry"), False),
        (stand_in("mysql.connector.errors.Error", errno=2006)(), True),
        (stand_in("MySQLdb.OperationalError")(1205, "Lock wait timeout"), True),
    ],
    ids=repr,
)
def test_mysql_by_number(error, is_transient):
    """Deadlocks, lock waits and lost connections."""
    assert is_transient == classify(error).is_transient


MONGO = stand_in("pymongo.errors.PyMongoError", has_error_label=lambda self, label: label in getattr(self, "labels", ()))


@pytest.mark.parametrize(
    ("cls", "labels", "is_transient"),
    [
        (stand_in("pymongo.errors.AutoReconnect", stand_in("pymongo.errors.ConnectionFailure", MONGO)), (), True),
        (stand_in("pymongo.errors.OperationFailure", MONGO), (), False),
        (stand_in("pymongo.errors.OperationFailure", MONGO), ("TransientTransactionError",), True),
        (stand_in("pymongo.errors.WriteError", MONGO), ("RetryableWriteError",), True),
        (stand_in("pymongo.errors.DuplicateKeyError", MONGO), ("Other",), False),
    ],
)
def test_mongo_by_class_and_label(cls, labels, is_transient):
    """The server says itself what is retryable."""
    error = cls("failed")
    error.labels = labels

    assert is_transient == classify(error).is_transient


BOTO = stand_in("botocore.exceptions.BotoCoreError")
BOTO_CONNECTION = stand_in("botocore.exceptions.ConnectionError", BOTO)


def client_error(code, status):
    error = stand_in("botocore.errorfactory.SomeException", stand_in("botocore.exceptions.ClientError"))("failed")
    headers = {"retry-after": "3"}
    error.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers}}
    return error


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (client_error("ThrottlingException", 400), True),
        (client_error("ProvisionedThroughputExceededException", 400), True),
        (client_error("RequestTimeout", 400), True),
        (client_error("SlowDown", 503), True),
        (client_error("InternalError", 500), True),
        (client_error("AccessDenied", 403), False),
        (client_error("ValidationException", 400), False),
        (client_error("NoSuchKey", 404), False),
        (stand_in("botocore.exceptions.EndpointConnectionError", BOTO_CONNECTION)(), True),
        (stand_in("botocore.exceptions.ConnectTimeoutError", BOTO_CONNECTION)(), True),
        (stand_in("botocore.exceptions.ReadTimeoutError", stand_in("botocore.exceptions.HTTPClientError", BOTO))(), True),
        (stand_in("botocore.exceptions.ConnectionClosedError", stand_in("botocore.exceptions.HTTPClientError", BOTO))(), True),
        (stand_in("botocore.exceptions.IncompleteReadError", BOTO)(), True),
        (stand_in("botocore.exceptions.NoCredentialsError", BOTO)(), False),
        (stand_in("botocore.exceptions.ParamValidationError", BOTO)(), False),
    ],
    ids=repr,
)
def test_botocore_by_code_and_status(error, is_transient):
    """The codes are botocore's own lists."""
    assert is_transient == classify(error).is_transient, classify(error)


def test_botocore_keeps_headers_in_the_metadata():
    """``Retry-After`` is found there."""
    assert 3.0 == retry_after(client_error("SlowDown", 503), now=0.0)


@pytest.mark.parametrize(
    "wrapper",
    [
        BOTO_CONNECTION,
        stand_in("httpx.ConnectError"),
        stand_in("requests.exceptions.SSLError"),
        stand_in("aiohttp.client_exceptions.ClientSSLError"),
    ],
    ids=lambda cls: f"{cls.__module__}.{cls.__name__}",
)
def test_a_refused_certificate_is_found_underneath(wrapper):
    """Libraries wrap it in their connection errors; ``from None`` on the way hides nothing."""
    error, middle = wrapper("failed"), Exception("middle")
    error.__cause__ = middle
    middle.__context__, middle.__suppress_context__ = ssl.SSLCertVerificationError(1, "certificate verify failed"), True

    assert (False, "a refused certificate") == classify(error)


@pytest.mark.parametrize(
    ("name", "is_transient"),
    [
        *[(name, True) for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")],
        *[(name, False) for name in ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED", "INTERNAL")],
    ],
)
@pytest.mark.parametrize("dotted", ["grpc._channel._InactiveRpcError", "grpc.aio._call.AioRpcError"])
def test_grpc_by_code(dotted, name, is_transient):
    """Both channels raise below ``grpc.RpcError``."""
    cls = stand_in(dotted, stand_in("grpc.RpcError"), code=lambda self: SimpleNamespace(name=name))

    assert (is_transient, f"gRPC {name}") == classify(cls())


def test_grpc_says_when_in_its_trailers():
    """``grpc-retry-pushback-ms``, gRPC proposal A6."""
    error = stand_in("grpc.RpcError", trailing_metadata=lambda self: (("grpc-retry-pushback-ms", "250"),))()

    assert 0.25 == retry_after(error, now=0.0)


GOOGLE = stand_in("google.api_core.exceptions.GoogleAPICallError", stand_in("google.api_core.exceptions.GoogleAPIError"))


@pytest.mark.parametrize(
    ("name", "code", "is_transient"),
    [
        ("TooManyRequests", 429, True),
        ("ServiceUnavailable", 503, True),
        ("DeadlineExceeded", 504, True),
        ("Aborted", 409, True),
        ("Conflict", 409, False),
        ("NotFound", 404, False),
        ("MethodNotImplemented", 501, False),
        ("DataLoss", 500, False),
    ],
)
def test_google_by_status_and_class(name, code, is_transient):
    """google-api-core keeps the HTTP status in ``code``."""
    assert is_transient == classify(stand_in(f"google.api_core.exceptions.{name}", GOOGLE, code=code)()).is_transient


@pytest.mark.parametrize("flag", [True, False])
def test_google_auth_says_it_itself(flag):
    """Its errors have a flag."""
    assert (
        flag
        == classify(
            stand_in("google.auth.exceptions.RefreshError", stand_in("google.auth.exceptions.GoogleAuthError"), retryable=flag)()
        ).is_transient
    )
