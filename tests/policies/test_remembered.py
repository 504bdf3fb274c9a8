"""What an error was judged to be goes with it into a store."""

from __future__ import annotations

import psycopg

from holdfast.policies.classify import classify
from holdfast.policies.remembered import remembered
from holdfast.values.failure import decode_failure


class Unspeakable(psycopg.OperationalError):
    """An error that cannot be judged: that takes its text."""

    def __str__(self) -> str:
        raise ValueError


def test_the_judgement_comes_back_with_the_error() -> None:
    """Though what it was judged by, here the error that was being handled, does not."""
    error = RuntimeError("no answer")
    error.__context__ = ConnectionResetError()

    assert (True, "a connection that failed or broke (ConnectionResetError)") == classify(decode_failure(remembered(error)))


def test_an_error_that_cannot_be_judged_is_remembered_all_the_same() -> None:
    """A journal or a cache must not break over a class that does."""
    assert isinstance(decode_failure(remembered(Unspeakable())), Unspeakable)
