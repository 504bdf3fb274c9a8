"""What is marked as secret is masked wherever it turns up."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Secret, _secrets


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(_secrets, "_known", {})
    monkeypatch.setattr(_secrets, "_texts", ())


def test_a_hidden_value_is_its_mark():
    """Observers get no more than that."""
    assert Secret is _secrets.hidden("hunter22")


@pytest.mark.parametrize(
    "value", ["hunter22", b"hunter22", ["hunter22"], {"a": ("x", "hunter22")}, {"hunter22"}], ids=["text", "bytes", "list", "dict", "set"]
)
def test_texts_of_hidden_values_are_masked(value):
    """Those in containers, too."""
    _secrets.hidden(value)

    assert "got * and * back" == _secrets.masked("got hunter22 and hunter22 back", "*")


def test_short_texts_are_left_alone():
    """They would mask half of what one wants to read."""
    _secrets.hidden("a cat"[:5])

    assert "a cat" == _secrets.masked("a cat", "*")


def test_a_secret_that_holds_another_is_masked_whole():
    """Else a part of it would be left."""
    for value in ("secret", "secret-and-more", "secret"):
        _secrets.hidden(value)

    assert "*" == _secrets.masked("secret-and-more", "*")


def test_only_the_latest_are_remembered():
    """Memory is bounded; one that is given again counts as late."""
    for number in range(_secrets.MOST):
        _secrets.hidden(f"secret-{number:04}")
    _secrets.hidden("secret-0000")
    _secrets.hidden("one more secret")

    assert "* secret-0001 * *" == _secrets.masked("secret-0000 secret-0001 secret-0002 one more secret", "*")
    assert _secrets.MOST == len(_secrets._known)


@given(text=st.text("abc", max_size=20), known=st.lists(st.text("abc", min_size=6, max_size=9), min_size=40, max_size=60, unique=True))
def test_many_are_found_as_few_are(text, known):
    """There is another way for many, which must not miss any."""
    _secrets._known.clear()
    _secrets._texts = ()
    _secrets.hidden(known)

    assert any(each in text for each in known) == ("*" in _secrets.masked(text, "*"))


WRITERS = {
    "itself": str,
    "repr": lambda text: repr(text)[1:-1],
    "JSON": json.dumps,
    "JSON with letters": lambda text: json.dumps(text, ensure_ascii=False),
    "URL": lambda text: f"https://example.com/?q={urllib.parse.quote(text, safe='')}",
    "path of a URL": lambda text: f"https://example.com/{urllib.parse.quote(text)}",
    "form": lambda text: urllib.parse.urlencode({"q": text}),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
@given(text=st.text(st.characters(codec="utf-8"), min_size=6, max_size=30))
def test_a_secret_is_found_however_it_is_written(write, text):
    """As URLs, JSON and Python write it."""
    _secrets._known.clear()
    _secrets._texts = ()
    _secrets.hidden(text)

    assert write(text) not in _secrets.masked(f"before {write(text)} after", "*")
    assert text not in _secrets.masked(f"before {write(text)} after", "*")


def test_a_document_is_masked_in_pieces():
    """Its whole length counts, up to where nothing shows it any more."""
    document = "".join(f"line {number} of it\n" for number in range(500))
    _secrets.hidden(document)

    assert document[:20] not in _secrets.masked(f"bad: {document}", "*")
    assert "of it" not in _secrets.masked_beginning(f"bad: {document}", "*", 2000)


@given(room=st.integers(0, 60), filler=st.integers(0, 40), times=st.integers(1, 6))
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(room, filler, times):
    """Though masking makes a text shorter, so that more of it is shown."""
    _secrets._known.clear()
    _secrets._texts = ()
    _secrets.hidden("ABCDEFGHIJ")
    text = "." * filler + "ABCDEFGHIJ" * times + "." * 40

    shown = _secrets.masked_beginning(text, "*", room)[: max(room, 1)]
    assert set(shown) <= {".", "*"}


def test_nothing_is_cut_that_need_not_be():
    """A short text, and one without any secrets to look for."""
    assert "abc" == _secrets.masked_beginning("abc", "*", 10)
    assert "abcdef" == _secrets.masked_beginning("abcdefgh", "*", 6)
