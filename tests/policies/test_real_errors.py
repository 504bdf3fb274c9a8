"""What real HTTP clients raise when real sockets misbehave, and how it is judged."""

from __future__ import annotations

import asyncio
import socket
import time
import urllib.request

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3

from holdfast.policies.classify import classify
from holdfast.policies.pushback import retry_after

TIMEOUT = 30.0
"""Seconds; a test that is about running out of them makes it short."""


def fetch_httpx(url):
    with httpx.Client(trust_env=False, timeout=TIMEOUT) as client:
        client.get(url).raise_for_status()


def fetch_httpx2(url):
    with httpx2.Client(trust_env=False, timeout=TIMEOUT) as client:
        client.get(url).raise_for_status()


def fetch_httpx_async(url):
    async def fetch():
        async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
            (await client.get(url)).raise_for_status()

    asyncio.run(fetch())


def fetch_requests(url):
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=TIMEOUT).raise_for_status()


def fetch_urllib3(url):
    retries = urllib3.Retry(total=0, status_forcelist=range(400, 600))
    with urllib3.PoolManager(retries=retries, timeout=TIMEOUT) as pool:
        pool.request("GET", url)


def fetch_aiohttp(url):
    async def fetch():
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            response.raise_for_status()
            await response.read()

    asyncio.run(fetch())


def fetch_urllib(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            response.read()
    except urllib.request.HTTPError as error:
        with error:
            raise


CLIENTS = [fetch_httpx, fetch_httpx_async, fetch_httpx2, fetch_requests, fetch_urllib3, fetch_aiohttp, fetch_urllib]


def error_of(fetch, url):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the test asks
        fetch(url)
    return caught.value


@pytest.fixture(params=CLIENTS, ids=lambda fetch: fetch.__name__.removeprefix("fetch_"))
def fetch(request):
    """Each client's way to get a URL; it raises for statuses of 400 and more."""
    return request.param


@pytest.mark.parametrize("behaviour", ["reset", "hang_up", "cut_off", "cut_off_chunk", "silence"])
def test_broken_exchanges_are_transient(fetch, serve, behaviour, monkeypatch):
    """Whatever class a client makes of a broken connection, the call is worth another attempt."""
    if behaviour == "silence":
        monkeypatch.setitem(globals(), "TIMEOUT", 0.1)
    with serve(behaviour) as url:
        error = error_of(fetch, url)

    assert classify(error).is_transient, repr(error)


def test_a_refused_connection_is_transient(fetch, closed_port):
    """A server that restarts refuses for a moment."""
    error = error_of(fetch, closed_port)

    assert classify(error).is_transient, repr(error)


@pytest.mark.parametrize("status", [429, 503])
def test_statuses_of_a_bad_moment_are_transient(fetch, serve, status):
    """The status decides, in every client."""
    with serve((status,)) as url:
        error = error_of(fetch, url)

    assert (True, f"HTTP {status}") == classify(error), repr(error)


@pytest.mark.parametrize("status", [404, 501])
def test_statuses_that_stay_are_not_transient(fetch, serve, status):
    """The same request would be refused again."""
    with serve((status,)) as url:
        error = error_of(fetch, url)

    assert (False, f"HTTP {status}") == classify(error), repr(error)


@pytest.mark.parametrize(("number", "is_transient"), [(socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)])
def test_dns_decides_underneath(fetch, monkeypatch, number, is_transient):
    """A name server that does not answer may answer later; an unknown host stays unknown."""

    def fail(*args, **kwargs):
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = error_of(fetch, "http://host.invalid/")

    assert is_transient == classify(error).is_transient, repr(error)


def test_tls_with_a_server_that_has_none_is_not_transient(serve):
    """Speaking TLS to a plain port is a wrong address, in every client."""
    with serve((200,)) as url:
        errors = [error_of(fetch, url.replace("http:", "https:")) for fetch in CLIENTS]

    assert [] == [repr(error) for error in errors if classify(error).is_transient]


@pytest.mark.parametrize("url", ["gopher://127.0.0.1/", "127.0.0.1/", "http://"])
@pytest.mark.parametrize("fetch", [fetch_httpx, fetch_requests, fetch_urllib3, fetch_aiohttp, fetch_urllib])
def test_addresses_that_cannot_work_are_not_transient(fetch, url):
    """No attempt will ever reach them."""
    error = error_of(fetch, url)

    assert not classify(error).is_transient, repr(error)


@pytest.mark.parametrize("fetch", [fetch_httpx, fetch_httpx_async, fetch_requests, fetch_aiohttp, fetch_urllib])
@pytest.mark.parametrize(("line", "expected"), [("Retry-After: 7", 7.0), ("Retry-After-Ms: 250", 0.25)])
def test_the_hint_is_found_on_real_responses(fetch, serve, line, expected):
    """Each client keeps headers in its own kind of mapping."""
    with serve((429, f"{line}\r\n")) as url:
        error = error_of(fetch, url)

    assert expected == retry_after(error, now=time.time())


def test_too_many_redirects_are_not_transient(serve):
    """A loop stays a loop."""
    with serve((302, "Location: /\r\n")) as url:
        client = httpx.Client(trust_env=False, follow_redirects=True)
        with client, pytest.raises(httpx.TooManyRedirects) as caught:
            client.get(url)

    assert not classify(caught.value).is_transient


@pytest.mark.parametrize("library", [requests, httpx, httpx2], ids=lambda library: library.__name__)
def test_a_body_that_is_not_json_is_not_transient(library, serve, monkeypatch):
    """It is a ValueError in every client; who talks to a server that sends rubbish at times names it in ``retry_on``."""
    monkeypatch.setenv("NO_PROXY", "*")
    with serve("rubbish") as url:
        answer = library.get(url, timeout=TIMEOUT)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - that is what they have in common
        answer.json()

    assert not classify(caught.value).is_transient


def test_a_closed_event_loop_is_a_programming_error():
    """RuntimeError is not retried unless it was raised from a transient error."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError) as caught:
        loop.run_until_complete(None)

    assert not classify(caught.value).is_transient
