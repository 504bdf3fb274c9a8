"""Secrets by name and by look."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.tracing.safety import redact


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "api_key",
        "apiKey",
        "X-API-Key",
        "Authorization",
        "cookie",
        "client_secret",
        "access_token",
        "session_id",
        "DB_PASSWD",
        "user_ssn",
    ],
)
def test_names_of_secrets_are_known(name):
    """In any spelling."""
    assert redact.is_secret(name)


@pytest.mark.parametrize(
    "name", ["city", "max_tokens", "prompt_tokens", "tokens", "keyboard", "author", "monkey", "compass", "className", "tokenizer"]
)
def test_harmless_names_are_left_alone(name):
    """Counts of tokens are what people tune by."""
    assert not redact.is_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing here: 42 = 42", "nothing here: 42 = 42"),
        ("password=hunter2, user=bob", "password=[redacted], user=bob"),
        ("password=[redacted]", "password=[redacted]"),
        ("(token: [redacted])", "(token: [redacted])"),
        ("token=[redacted]tail", "token=[redacted]]tail"),  # what is beside it may be the rest of a secret
        ('{"api_key": "abc", "city": "Oslo"}', '{"api_key": "[redacted]", "city": "Oslo"}'),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted]"),
        ("got Bearer abcdef123456 back", "got Bearer [redacted] back"),
        ('password="two words" x', 'password="[redacted]" x'),
        ("{'client_secret': 'it is\\'s', 'a': 1}", "{'client_secret': '[redacted]', 'a': 1}"),
        (r"body: {\"api_key\": \"abc\"}", r'body: {\"api_key\": \"[redacted]"'),
        ("max_tokens=500 is too much", "max_tokens=500 is too much"),
        ("an unfinished password='abc de", "an unfinished password='[redacted]'"),
        ("postgres://bob:hunter2@db/x", "postgres://[redacted]@db/x"),
        ("https://api/?token=abc&city=Oslo", "https://api/?token=[redacted]&city=Oslo"),
        ("bad key sk-proj-abcdefghijklmnop", "bad key [redacted]"),
        ("AKIAABCDEFGHIJKLMNOP denied", "[redacted] denied"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.abc-_ expired", "jwt [redacted] expired"),
        ("ran out of tokens", "ran out of tokens"),
    ],
)
def test_obvious_secrets_in_texts_are_masked(text, expected):
    """And nothing beside them."""
    assert expected == redact.scrub(text)


@pytest.mark.parametrize(
    "text", ["a-" * 1000, "token " * 400, "token" + " " * 2000, "password=" * 300, "://a:" * 400, "eyJ" + "a" * 2000, '"\\' * 1000]
)
def test_no_text_takes_long(text):
    """Patterns over texts that strangers write must not explode."""

    def seconds():
        started = time.thread_time()
        redact.scrub(text)
        return time.thread_time() - started

    assert min(seconds() for _ in range(3)) < 0.05  # the garbage of all other tests may be collected in one of them


_PIECES = [
    "password",
    "PaSSwd",
    "pa\u017fsword",
    "to\u212aen",
    "cook\u0131e",
    "cred\u0131t-card",
    "api_key",
    "Authorization",
    "ssn",
    "BeArer",
    "bearer\t",
]
_PIECES += ["sk-", "ghp_", "xoxb-", "AKIA", "eyJ", "://", "@", "=", ":", " ", '"', "\\", "abcdefghijkl", "ABCDEFGHIJKL", "1234567890123456"]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=8).map("".join))
def test_a_quick_look_misses_no_secret(text):
    """Most texts hold none, and are told by a quick look; it finds whatever the slow patterns find."""
    assert redact._UNNAMED.sub(redact.MASK, redact._mask_assigned(text)) == redact.scrub(text)


def test_messages_are_cut():
    """At 500 characters, the last of which says so."""
    text = redact.message(ValueError("x" * 10_000))

    assert 500 == len(text)
    assert text.endswith("x…")


def test_a_message_that_raises_is_replaced():
    """An exception's text is the user's code."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert "<the text of this Odd cannot be had: RuntimeError>" == redact.message(Odd())


def test_a_message_is_plain_text():
    """Whatever the class of what ``__str__`` returns, markup or a translation that is not made yet, does when it is looked at or cut."""

    class Markup(str):
        __slots__ = ()

        def casefold(self):
            raise RuntimeError

        def __getitem__(self, _):
            return Markup("&lt;")

    class Marked(Exception):
        def __str__(self):
            return Markup("x" * 3_000)

    text = redact.message(Marked())
    assert (str, f"{'x' * 499}…") == (type(text), text)


def test_what_leaves_can_be_written(monkeypatch):
    """Whatever was in the text, or in what the application's redactor made of it."""
    assert "caf\\udce9.txt é".encode() == redact.scrub("caf\udce9.txt é").encode(errors="surrogatepass")
    monkeypatch.setattr(redact, "custom", lambda text: text + "\ud800")
    assert b"a\\ud800" == redact.scrub("a").encode(errors="surrogatepass")
