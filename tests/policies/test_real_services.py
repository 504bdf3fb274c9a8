"""What the real clients of services other than plain HTTP raise when real sockets misbehave, and how it is judged."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import botocore.config
import botocore.session
import grpc
import grpc.aio
import psycopg
import pymysql
import pytest

from holdfast.policies.classify import classify
from holdfast.policies.pushback import retry_after

TIMEOUT = 30.0
"""Seconds; a test that is about running out of them makes it short."""


def error_of(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the tests ask
        call()
    return caught.value


# -- botocore -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One set of AWS's service models; no configuration of this machine's."""
    session = botocore.session.Session()
    session.set_config_variable("config_file", str(tmp_path_factory.mktemp("aws") / "none"))
    session.set_config_variable("credentials_file", str(tmp_path_factory.mktemp("aws") / "none"))
    return session


@pytest.fixture
def list_tables(session):
    """One call of DynamoDB at a URL, without botocore's own retries."""

    def call(url):
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, connect_timeout=TIMEOUT, read_timeout=TIMEOUT, proxies={}, region_name="eu-north-1"
        )
        client = session.create_client(
            "dynamodb", endpoint_url=url, config=config, aws_access_key_id="key", aws_secret_access_key="not a secret"
        )
        try:
            client.list_tables()
        finally:
            client.close()

    return call


def refusal(code):
    """The body of DynamoDB's refusals."""
    return json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "refused"})


@pytest.mark.parametrize("behaviour", ["reset", "hang_up", "cut_off_chunk", "silence"])
def test_botocore_on_broken_exchanges(list_tables, serve, behaviour, monkeypatch):
    """Whatever class it makes of them; an answer shorter than its ``Content-Length`` it does not notice at all."""
    if behaviour == "silence":
        monkeypatch.setitem(globals(), "TIMEOUT", 0.2)
    with serve(behaviour) as url:
        error = error_of(lambda: list_tables(url))

    assert classify(error).is_transient, repr(error)


def test_botocore_on_a_refused_connection(list_tables, closed_port):
    """EndpointConnectionError."""
    assert classify(error_of(lambda: list_tables(closed_port))).is_transient


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ProvisionedThroughputExceededException", 400, (True, "AWS ProvisionedThroughputExceededException")),
        ("ThrottlingException", 400, (True, "AWS ThrottlingException")),
        ("InternalServerError", 500, (True, "HTTP 500")),
        ("ResourceNotFoundException", 400, (False, "HTTP 400")),
        ("AccessDeniedException", 400, (False, "HTTP 400")),
    ],
)
def test_botocore_by_code_and_status(list_tables, serve, code, status, expected):
    """AWS throttles with a 400: only the code tells. The classes are made by botocore from the service's model."""
    with serve((status, "", refusal(code))) as url:
        error = error_of(lambda: list_tables(url))

    assert expected == classify(error), repr(error)


def test_botocore_says_when(list_tables, serve):
    """``Retry-After`` stands in the error's metadata."""
    with serve((503, "Retry-After: 3\r\n", refusal("ServiceUnavailable"))) as url:
        error = error_of(lambda: list_tables(url))

    assert 3.0 == retry_after(error, now=0.0)


# -- gRPC ---------------------------------------------------------------------------------------------------------------------------------

NO_PROXY = (("grpc.enable_http_proxy", 0),)


class Aborting(grpc.GenericRpcHandler):
    """Ends each call with the status that is the last part of its method's name; ``SLOW`` does not end before the client gives up."""

    def service(self, details):
        """The handler of one method."""
        name = details.method.rpartition("/")[2]

        def wait(request, context):
            given_up = threading.Event()
            if context.add_callback(given_up.set):  # else it has been given up already
                given_up.wait(30)

        def abort(request, context):
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "250"),))
            context.abort(grpc.StatusCode[name], "aborted")

        return grpc.unary_unary_rpc_method_handler(wait if name == "SLOW" else abort)


@pytest.fixture(scope="module")
def grpc_port():
    """A real server."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=(Aborting(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


def call_grpc(port, method):
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=NO_PROXY) as channel:
        channel.unary_unary(f"/service/{method}")(b"", timeout=TIMEOUT)


def call_grpc_async(port, method):
    async def call():
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=NO_PROXY) as channel:
            await channel.unary_unary(f"/service/{method}")(b"", timeout=TIMEOUT)

    asyncio.run(call())


@pytest.fixture(params=[call_grpc, call_grpc_async], ids=["sync", "async"])
def call(request):
    """Both kinds of channel: they raise unlike classes."""
    return request.param


@pytest.mark.parametrize("name", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"])
def test_grpc_in_a_bad_moment(call, grpc_port, name):
    """The codes that gRPC's own documentation calls worth a retry."""
    assert (True, f"gRPC {name}") == classify(error_of(lambda: call(grpc_port, name)))


@pytest.mark.parametrize("name", ["INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "INTERNAL", "CANCELLED"])
def test_grpc_that_refuses(call, grpc_port, name):
    """The same request would be refused again."""
    assert (False, f"gRPC {name}") == classify(error_of(lambda: call(grpc_port, name)))


def test_grpc_says_when(call, grpc_port):
    """In its trailers."""
    assert 0.25 == retry_after(error_of(lambda: call(grpc_port, "UNAVAILABLE")), now=0.0)


def test_grpc_on_a_refused_connection(call, closed_port):
    """A server that restarts."""
    error = error_of(lambda: call(urlsplit(closed_port).port, "UNAVAILABLE"))

    assert (True, "gRPC UNAVAILABLE") == classify(error)


def test_grpc_on_a_broken_connection(call, serve):
    """A server that hangs up on everybody."""
    with serve("reset") as url:
        error = error_of(lambda: call(urlsplit(url).port, "UNAVAILABLE"))

    assert (True, "gRPC UNAVAILABLE") == classify(error)


def test_grpc_that_is_too_slow(call, grpc_port, monkeypatch):
    """The client's own deadline."""
    monkeypatch.setitem(globals(), "TIMEOUT", 0.3)
    assert (True, "gRPC DEADLINE_EXCEEDED") == classify(error_of(lambda: call(grpc_port, "SLOW")))


# -- PostgreSQL ---------------------------------------------------------------------------------------------------------------------------


def pg_error(state, text="failed"):
    """An ErrorResponse: https://www.postgresql.org/docs/current/protocol-error-fields.html."""
    fields = b"".join(code + value.encode() + b"\0" for code, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", state), (b"M", text)))
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"


PG_OK = b"R" + struct.pack("!ii", 8, 0) + b"K" + struct.pack("!iii", 12, 1, 1)
PG_READY = b"Z" + struct.pack("!i", 5) + b"I"


def at_login(state, text="failed"):
    """A server that refuses to let anybody in."""

    def behave(connection):
        connection.recv(65536)
        connection.sendall(pg_error(state, text))

    return behave


def at_query(*reply):
    """A server that lets everybody in, answers the first query so, and hangs up."""

    def behave(connection):
        connection.recv(65536)
        connection.sendall(PG_OK + PG_READY)
        connection.recv(65536)
        connection.sendall(b"".join(reply))

    return behave


def query(url):
    where = urlsplit(url)
    with psycopg.connect(
        f"host=127.0.0.1 port={where.port} user=u dbname=d sslmode=disable gssencmode=disable connect_timeout=30", autocommit=True
    ) as connection:
        connection.execute("SELECT 1")


@pytest.mark.parametrize("behaviour", ["reset", "hang_up"])
def test_psycopg_on_broken_connections(serve, behaviour):
    """Without a SQLSTATE; the driver has only the text of libpq."""
    with serve(behaviour) as url:
        error = error_of(lambda: query(url))

    assert (True, "a connection that failed or broke") == classify(error), repr(error)


def test_psycopg_on_a_refused_connection(closed_port):
    """A server that restarts."""
    assert classify(error_of(lambda: query(closed_port))).is_transient


def test_psycopg_on_a_connection_lost_during_the_query(serve):
    """The statement may have been done."""
    with serve(at_query()) as url:
        error = error_of(lambda: query(url))

    assert classify(error).is_transient, repr(error)


@pytest.mark.parametrize(
    ("state", "text", "is_transient"),
    [
        ("53300", "sorry, too many clients already", True),
        ("57P03", "the database system is starting up", True),
        ("28P01", 'password authentication failed for user "u"', False),
        ("3D000", 'database "d" does not exist', False),
    ],
)
def test_psycopg_at_login(serve, state, text, is_transient):
    """psycopg keeps no SQLSTATE of a login: the text decides."""
    with serve(at_login(state, text)) as url:
        error = error_of(lambda: query(url))

    assert is_transient == classify(error).is_transient, repr(error)


@pytest.mark.parametrize(
    ("state", "is_transient"),
    [("40P01", True), ("40001", True), ("57P01", True), ("55P03", True), ("23505", False), ("42601", False), ("57014", False)],
)
def test_psycopg_by_sqlstate(serve, state, is_transient):
    """One class for each state."""
    with serve(at_query(pg_error(state), PG_READY)) as url:
        error = error_of(lambda: query(url))

    assert (state, is_transient) == (error.sqlstate, classify(error).is_transient), repr(error)


# -- MySQL --------------------------------------------------------------------------------------------------------------------------------


def mysql_refusal(number):
    """A server that greets with an ERR packet: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html."""
    packet = b"\xff" + struct.pack("<H", number) + b"#08004refused"
    return lambda connection: connection.sendall(struct.pack("<I", len(packet))[:3] + b"\0" + packet)


def connect_mysql(url):
    pymysql.connect(host="127.0.0.1", port=urlsplit(url).port, user="u", connect_timeout=30, read_timeout=TIMEOUT)


@pytest.mark.parametrize(("number", "is_transient"), [(1040, True), (1045, False), (1049, False)])
def test_pymysql_by_number(serve, number, is_transient):
    """Too many connections; a refused login; an unknown database."""
    with serve(mysql_refusal(number)) as url:
        error = error_of(lambda: connect_mysql(url))

    assert (number, is_transient) == (error.args[0], classify(error).is_transient), repr(error)


def test_pymysql_on_a_connection_that_breaks(serve):
    """During the greeting."""
    with serve(lambda connection: None) as url:
        error = error_of(lambda: connect_mysql(url))

    assert classify(error).is_transient, repr(error)


def test_pymysql_on_a_refused_connection(closed_port):
    """A server that restarts."""
    assert classify(error_of(lambda: connect_mysql(closed_port))).is_transient
