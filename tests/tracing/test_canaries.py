"""Canaries: texts that must not leave, in every place they could leave from, looked for in the bytes of everything that leaves."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated

import pytest
import structlog

import holdfast.tracing
from holdfast import CachePolicy, InMemoryCache, InMemorySaver, RetryPolicy, Secret, _secrets, entrypoint, resilient, task
from holdfast.tracing.safety import firewall

CANARY = "kanari-7"
Key = Annotated[str, Secret]


class Outputs:
    """Everything that leaves: what a collector, the local store's files, the console and a log got."""

    def __init__(self, receiver, folder, capsys) -> None:
        self.lines = []
        self._receiver = receiver
        self._folder = folder
        self._capsys = capsys

    def read(self):
        """All bytes, by where they went."""
        holdfast.flush(30)
        files = [path.read_bytes() for path in self._folder.iterdir()]
        said = self._capsys.readouterr()
        return {
            "otlp": b"".join(self._receiver.bodies),
            "store": b"".join(files),
            "console": (said.err + said.out).encode(),
            "lines": repr(self.lines).encode(),
        }


@pytest.fixture(params=["light", "sdk"])
def outputs(request, fresh, receiver, tmp_path, capsys, monkeypatch):
    """Tracing to everywhere at once, with all lines."""
    monkeypatch.setattr(_secrets, "_known", {})
    monkeypatch.setattr(_secrets, "_texts", ())
    tmp_path.chmod(0o700)
    if request.param == "sdk":
        monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "128")  # who sets a limit gets the SDK's spans
    seen = Outputs(receiver, tmp_path, capsys)

    def keep(_logger, _method, event):
        seen.lines.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    holdfast.tracing.configure("otlp", endpoint=receiver.endpoint)
    holdfast.tracing.configure(path=tmp_path / "t.db")
    holdfast.tracing.configure("console")
    yield seen
    for handle in list(fresh.handles.values()):
        handle.shutdown()
    structlog.reset_defaults()
    firewall.flush(30.0)


@dataclass
class Login:
    user: str
    code: Key


TWICE = RetryPolicy(max_attempts=2, initial_interval=0, retry_on=ConnectionError)


@task(retry_policy=TWICE)
def ask(place: Key, /, *rest: Key, nested: dict[str, list[Key]], by_name: Key, login: Login) -> Annotated[dict[str, str], Secret]:
    """Succeeds, and gives what it was given."""
    return {"place": place, "rest": rest[0]}


@task(retry_policy=TWICE)
def fail(key: Key) -> None:
    """Fails with its argument in message, cause, context and notes, and in the address it called."""
    try:
        raise KeyError(f"no {key}")
    except KeyError as error:
        failure = ConnectionError(f"GET https://bob:{key}@example.com/a/{key}?q={key} failed for {key!r}")
        failure.add_note(f"with {key}")
        raise failure from error


@task(cache_policy=CachePolicy(ttl=60, key_func=lambda **arguments: arguments["key"]))
def cached(key: Key) -> Key:
    """Stored under its argument itself."""
    return key


@task(cache_policy=CachePolicy(ttl=60))
def unstorable(key: Key) -> object:
    """Its result cannot be stored, which a note says."""
    return type(key, (), {"__repr__": lambda _: key})()


def broken(**arguments):
    """A key function that gives its arguments away."""
    raise ValueError(f"cannot use {arguments}")


@task(cache_policy=CachePolicy(ttl=60, key_func=broken))
def unkeyed(key: Key) -> int:
    """Computed without a key, which a note says."""
    return 1


@resilient(retry_policy=TWICE)
def outside(key: Key) -> None:
    """A call outside runs."""
    raise ConnectionError(f"no {key}")


@entrypoint(cache=InMemoryCache(), checkpointer=InMemorySaver())
def flow(key: Key) -> Key:
    """Everything once, the failures last."""
    ask(key, f"{key}-rest", nested={"a": [f"{key}-nested"]}, by_name=f"{key}-name", login=Login("bob", f"{key}-field")).result()
    cached(key).result()
    cached(key).result()
    unkeyed(key).result()
    with contextlib.suppress(Exception):
        unstorable(key).result()
    with contextlib.suppress(ConnectionError):
        outside(key)
    fail(key).result()
    return key


@pytest.mark.parametrize("mode", ["none", "shape", "values"])
def test_what_is_marked_never_leaves(outputs, mode):
    """From no position: arguments, results, keys, and whatever an exception says."""
    holdfast.tracing.configure("console", capture=mode, lines="debug")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            flow.invoke(CANARY, thread_id="t")
    cached.invoke(CANARY)

    seen = outputs.read()
    assert all(b"ConnectionError" in data for data in seen.values())
    assert {} == {place: data for place, data in seen.items() if CANARY.encode() in data}
    assert mode == "none" or all(b"[redacted]" in data for data in seen.values())


@resilient(retry_policy=TWICE, cache_policy=CachePolicy(ttl=60, version="1"), cache=InMemoryCache())
def cached_outside(key: Key) -> None:
    """The same with a cache, which has a way of its own while nobody observes."""
    raise ConnectionError(f"no {key}")


@pytest.mark.parametrize("call", [outside, cached_outside, fail.invoke])
def test_what_is_marked_is_masked_while_nobody_observes(fresh, capsys, monkeypatch, call):
    """Warnings of retries reach stderr all the same."""
    monkeypatch.setattr(_secrets, "_known", {})
    monkeypatch.setattr(_secrets, "_texts", ())
    with pytest.raises(ConnectionError):
        call(CANARY)
    firewall.flush(30.0)

    said = capsys.readouterr().err
    assert "attempt 1 failed (ConnectionError: " in said
    assert "[redacted]" in said
    assert CANARY not in said


@resilient(retry_policy=TWICE, capture="values")
def repeating(first: Key, text: str) -> None:
    """What is marked comes in what is not, and goes in a message."""
    raise ConnectionError(f"no {text}")


def test_a_marked_document_does_not_leave_in_part(outputs):
    """Messages and captured texts are cut, and a document is longer than what is left of them."""
    document = "".join(f"{CANARY} {number};" for number in range(2000))
    holdfast.tracing.configure("console", lines="debug")
    with pytest.raises(ConnectionError):
        repeating(document, f"of {document}")
    with pytest.raises(ConnectionError):
        repeating(CANARY, CANARY * 1000)

    assert [] == [place for place, data in outputs.read().items() if CANARY[:6].encode() in data]


@task(retry_policy=TWICE)
def unmarked(place, *rest, nested, login):
    """Nothing is marked here."""
    if place is None:
        raise ConnectionError("it failed")
    return [place, rest, nested]


@entrypoint()
def plain(given):
    """Results pass through, and a failure leaves its arguments out."""
    value = unmarked(given, f"{given}-rest", nested={"a": [given], given: 1}, login=Login(given, given)).result()
    with contextlib.suppress(ConnectionError):
        unmarked(None, f"{given}-rest", nested=value, login=given).result()
    return value


@pytest.mark.parametrize(("mode", "leaving"), [("none", False), ("shape", False), ("values", True)])
def test_what_was_not_asked_for_does_not_leave(outputs, mode, leaving):
    """With ``none`` and ``shape`` no value of an argument or result leaves; with ``values`` they do, and that is what it is for."""
    holdfast.tracing.configure("console", capture=mode, lines="debug")
    plain.invoke("canarybird-9")

    seen = outputs.read()
    assert leaving == (b"canarybird-9" in seen["otlp"])
    assert leaving == (b"canarybird-9" in seen["store"])
    assert b"canarybird-9" not in seen["lines"]
    assert b"canarybird-9" not in seen["console"]


@resilient(retry_policy=TWICE)
def complaining(text):
    """Its failure gives its argument away."""
    raise ConnectionError(f"no {text}")


def test_an_applications_redactor_has_the_last_word(outputs):
    """For all texts, after our own masking."""
    holdfast.tracing.configure("console", capture="values", lines="debug", redact=lambda text: text.replace("canarybird", "bird"))
    plain.invoke("canarybird-9")
    with contextlib.suppress(ConnectionError):
        complaining("canarybird-8")

    seen = outputs.read()
    assert [] == [place for place, data in seen.items() if b"canarybird" in data]
    assert b"bird-9" in seen["otlp"]
    assert all(b"no bird-8" in data for data in seen.values())


@pytest.mark.parametrize(
    ("redactor", "said"), [(lambda text: text[10**6], "raised IndexError"), (lambda text: None, "returned a NoneType instead of a text")]
)
def test_a_redactor_that_fails_lets_nothing_through(outputs, redactor, said, monkeypatch):
    """The text is masked as a whole, and it is said once."""
    monkeypatch.setattr(firewall, "_said", set())
    holdfast.tracing.configure("console", capture="values", lines="debug", redact=redactor)
    plain.invoke("canarybird-9")

    seen = outputs.read()
    assert [] == [place for place, data in seen.items() if b"canarybird" in data]
    assert 1 == seen["console"].count(f"holdfast: the redactor given to configure {said}; what it cannot judge is left out".encode())
