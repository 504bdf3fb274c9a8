"""Looking at foreign errors."""

from __future__ import annotations

import urllib.error

import pytest

from holdfast.policies.attributes import attribute, origin, type_name


class Shy(Exception):
    @property
    def request(self):
        raise RuntimeError("not set")


def test_an_attribute_that_cannot_be_read_is_none():
    """Missing, or a property that raises."""
    assert [None, None, ("x",)] == [attribute(Shy("x"), name) for name in ("request", "missing", "args")]


def test_the_origin_is_the_cause_or_else_the_context():
    """As a traceback shows them; ``from None`` hides the context."""
    error, cause, context = KeyError(), OSError(), TimeoutError()
    found = [origin(error)]
    error.__context__ = context
    found.append(origin(error))
    error.__suppress_context__ = True
    found.append(origin(error))
    error.__cause__ = cause
    found.append(origin(error))

    assert [None, context, None, cause] == found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), "TimeoutError"),
        (urllib.error.URLError("x"), "urllib.URLError"),
        (type("Gone", (Exception,), {"__module__": "lib.deep.errors"})(), "lib.Gone"),
        (type("Mine", (Exception,), {"__module__": "__main__"})(), "Mine"),
    ],
    ids=repr,
)
def test_a_class_is_named_with_its_top_package(error, expected):
    """Where a library keeps it does not matter to the reader; builtins and scripts need no package."""
    assert expected == type_name(error)
