"""The misbehaving server, asked over its real sockets."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from tests.waiting import until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flaky_server.py"


@pytest.fixture(scope="module")
def flaky_server():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("flaky_server", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["flaky_server"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["flaky_server"]


@pytest.fixture
def server(flaky_server):
    """A running server without artificial latency."""
    with flaky_server.FlakyServer(latency=0, slow=30) as running:
        yield running


@pytest.fixture
def get(server):
    """Asks for the forecast of a city over one client that keeps its connections."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield lambda city, **options: client.get(f"/forecast/{city}", **options)


def test_answers_a_healthy_city(get):
    """City, temperature and wind, as JSON."""
    answer = get("Berlin")

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert {"city": "Berlin", "temperature": 8.3, "wind": 15.5} == answer.json()


def test_serves_forty_cities(flaky_server, server):
    """Names with spaces and accents included; a client that only repeats gets every one at last."""
    asked = httpx.Client(base_url=server.url)

    def ask(city):
        for patience in (0.3, 0.3, 30):  # no city fails a third time
            try:
                answer = asked.get(f"/forecast/{city}", timeout=patience)
                if answer.status_code == 200:
                    return answer.json()["city"]
            except (httpx.TransportError, json.JSONDecodeError):
                pass
        return None

    with asked, ThreadPoolExecutor(8) as pool:
        assert list(flaky_server.CITIES) == list(pool.map(ask, flaky_server.CITIES))
    assert 40 == len(flaky_server.CITIES)


def test_every_fault_is_some_city_s(flaky_server):
    """The table shows each fault, at cities that exist."""
    assert set(flaky_server.Fault) == {fault for faults in flaky_server.FAULTS.values() for fault in faults}
    assert flaky_server.FAULTS.keys() <= flaky_server.CITIES.keys()


def test_resets_the_connection(get):
    """The peer's RST arrives as such, not as an orderly end."""
    with pytest.raises(httpx.ReadError) as caught:
        get("Lima")

    assert isinstance(root_cause(caught.value), ConnectionResetError)
    assert 200 == get("Lima").status_code


def test_drops_the_connection(get):
    """The connection ends in order, but without an answer."""
    with pytest.raises(httpx.RemoteProtocolError):
        get("Quito")

    assert 200 == get("Quito").status_code


def test_fails_in_its_own_order(get):
    """The faults of a city come one a request, then it is healthy for good."""
    assert [500, 503, 200, 200] == [get("Nairobi").status_code for _ in range(4)]


def test_retry_after_in_seconds(get):
    """429 with a number."""
    answer = get("Tokyo")

    assert (429, "1") == (answer.status_code, answer.headers["retry-after"])


def test_retry_after_as_a_date(get):
    """429 with an HTTP date one to two seconds ahead."""
    before = time.time()
    answer = get("Sydney")
    after = time.time()

    assert 429 == answer.status_code
    assert answer.headers["retry-after"].endswith(" GMT")
    assert before + 1 <= parsedate_to_datetime(answer.headers["retry-after"]).timestamp() <= after + 2


def test_retry_after_in_milliseconds(get):
    """429 with the header some services send instead."""
    answer = get("Toronto")

    assert (429, "250") == (answer.status_code, answer.headers["retry-after-ms"])
    assert "retry-after" not in answer.headers


def test_answers_too_late(get, server):
    """The client's patience ends first; asked again, the city is healthy."""
    with pytest.raises(httpx.ReadTimeout):
        get("Reykjavík", timeout=0.1)
    until(lambda: server.stats()["total"])  # it is this request that is slow, though the server may come to it late

    assert 200 == get("Reykjavík").status_code


def test_cuts_json_short_once(get):
    """A complete HTTP answer whose body is not JSON."""
    answer = get("Cairo")

    assert 200 == answer.status_code
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert "Cairo" == get("Cairo").json()["city"]


def test_an_unknown_city_stays_unknown(get):
    """404, however often one asks."""
    assert [404, 404, 404] == [get("Atlantis").status_code for _ in range(3)]


def test_counts_requests(get, server):
    """The statistics count each path and fault; asking for them is not counted."""
    get("Oslo")
    get("Oslo")
    get("São Paulo")
    httpx.get(f"{server.url}/stats")

    expected = {"total": 3, "requests": {"/forecast/Oslo": 2, "/forecast/São Paulo": 1}, "faults": {"503": 1}}
    assert expected == httpx.get(f"{server.url}/stats").json()


def test_counts_exactly_under_threads(server):
    """Each request of many at once gets its own number: the single 503 is given once."""
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: httpx.get(f"{server.url}/forecast/Oslo").status_code, range(32)))

    assert [1, 31] == [codes.count(503), codes.count(200)]


def test_each_server_starts_afresh(flaky_server):
    """Counts belong to one server."""
    for _ in range(2):
        with flaky_server.FlakyServer(latency=0) as server:
            assert 503 == httpx.get(f"{server.url}/forecast/Oslo").status_code


def test_stops_at_once_and_leaves_no_thread(flaky_server, capsys):
    """Neither an idle connection nor a slow answer in flight holds it up, and nothing is written to the terminal."""
    before = set(threading.enumerate())
    with httpx.Client() as client:
        with flaky_server.FlakyServer(latency=0, slow=60) as server:
            client.get(f"{server.url}/forecast/Berlin")
            with pytest.raises(httpx.ReadTimeout):
                client.get(f"{server.url}/forecast/Reykjavík", timeout=0.05)
            began = time.monotonic()
        assert time.monotonic() - began < 20

    assert set() == set(threading.enumerate()) - before  # those of other tests may end meanwhile
    assert ("", "") == capsys.readouterr()


def test_has_no_address_while_it_is_down(flaky_server):
    """The error shows how to start it."""
    with pytest.raises(RuntimeError, match="with FlakyServer"):
        _ = flaky_server.FlakyServer().url


def root_cause(error: BaseException) -> BaseException:
    """The innermost exception of a chain."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
