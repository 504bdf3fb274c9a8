"""Observers that raise."""

from __future__ import annotations

import pytest

from holdfast.tracing.safety.guard import Guarded

METHODS = ("run_started", "run_ended", "call_started", "call_ended", "attempt_started", "attempt_ended", "noted")


class Heard:
    """Remembers what it was told, and raises when asked to."""

    def __init__(self, error=None) -> None:
        self.heard = []
        self._error = error

    def __getattr__(self, name):
        def method(facts):
            self.heard.append((name, facts))
            if self._error is not None:
                raise self._error

        return method


@pytest.mark.parametrize("name", METHODS)
def test_what_an_observer_raises_stays_with_it(name, inline, capsys):
    """The call does not see it, the next observer is told all the same, and a person is told once."""
    broken, sound = Heard(ZeroDivisionError("oops")), Heard()
    guarded = Guarded(broken, sound)

    getattr(guarded, name)("facts")
    getattr(guarded, name)("more")

    assert [(name, "facts"), (name, "more")] == sound.heard
    assert 2 == guarded.failures
    assert (
        "holdfast: a fault in tracing was kept from your call; the trace may have gaps: ZeroDivisionError: oops\n"
        == capsys.readouterr().err
    )


def test_an_interrupt_is_passed_on():
    """Ctrl-C is for the program, not for tracing."""
    with pytest.raises(KeyboardInterrupt):
        Guarded(Heard(KeyboardInterrupt())).run_started(None)


def test_observers_are_told_in_order():
    """Spans before lines, so that lines know the span's ids."""
    order = []

    class Named(Heard):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def __getattr__(self, _name):
            return lambda _facts: order.append(self.name)

    Guarded(Named("spans"), Named("lines")).call_ended(None)

    assert ["spans", "lines"] == order
