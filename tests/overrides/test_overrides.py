"""What an operator may change, what is refused, and what the history holds."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import OverrideConflict, PolicyError, StoreError
from holdfast.overrides import Expected, Guard, Override, Overrides

TASK = "app.fetch"


@pytest.fixture
def overrides(tmp_path, clock):
    """None yet."""
    found = Overrides(tmp_path)
    yield found
    found.close()


def state(overrides):
    """What is in force: time to live and share."""
    return [(each.ttl, each.share) for each in overrides.current(TASK)]


def test_nothing_is_in_force_at_first(overrides):
    """Not even a file."""
    assert ([], []) == (overrides.current(), overrides.history())
    assert not overrides.path.exists()


def test_set_promote_and_take_back(overrides, clock):
    """Each is a line of the history, with its author and its reason, and nothing is lost of it."""
    first = overrides.set(TASK, "45m", share=0.1, guard="errors<=5%", author="anna", reason="hits", expires_in="7d")
    canary = state(overrides)
    clock.advance(60)
    more = overrides.promote(TASK, 0.5, author="ben", after=first.id)
    whole = overrides.promote(TASK, author="ben", reason="looks good", after=more.id)
    promoted = state(overrides)
    overrides.rollback(TASK, author="anna", after=whole.id)

    assert [(2700.0, 0.1)] == canary
    assert [(2700.0, 1.0)] == promoted
    assert [] == state(overrides)
    assert [("set", "anna", 0.1), ("promote", "ben", 0.5), ("promote", "ben", 1.0), ("rollback", "anna", 1.0)] == [
        (each.action, each.author, each.share) for each in overrides.history(TASK)
    ]
    assert {first.created + 7 * 86_400} == {first.expires, whole.expires}
    assert (Guard(errors=0.05), "looks good") == (whole.guard, whole.reason)
    assert whole.base == first.id


def test_taking_back_restores_what_was_replaced(overrides):
    """And taking that back, too, what was before: never the one that was just taken back."""
    one = overrides.set(TASK, 100, author="anna")
    two = overrides.set(TASK, 200, author="anna", after=one.id)
    three = overrides.set(TASK, 300, share=0.5, author="anna", after=two.id)
    seen = []
    current = three
    for _ in range(3):
        current = overrides.rollback(TASK, author="anna", after=current.id)
        seen.append(state(overrides))

    assert [[(200.0, 1.0)], [(100.0, 1.0)], []] == seen
    with pytest.raises(PolicyError, match="none to take back"):
        overrides.rollback(TASK, author="anna", after=0)


def test_what_is_beneath_a_canary_is_what_it_replaced(overrides):
    """Keys that it does not cover keep the earlier override."""
    one = overrides.set(TASK, 100, author="anna")
    two = overrides.set(TASK, 200, share=0.5, author="anna", after=one.id)

    assert one == overrides.beneath(two)
    assert overrides.beneath(one) is None


def test_an_override_ends(overrides, clock):
    """By itself; then the policy in the code holds, and another may be set."""
    overrides.set(TASK, 100, author="anna", expires_in=60)
    clock.advance(59.9)
    before = state(overrides)
    clock.advance(0.1)

    assert [(100.0, 1.0)] == before
    assert [] == state(overrides)
    assert overrides.set(TASK, 200, author="ben").ttl == 200


def test_the_second_of_two_operators_is_told(overrides):
    """Who did not see the override that is in force does not replace it, and learns whose it is."""
    first = overrides.set(TASK, "30m", author="anna", reason="stale answers")
    with pytest.raises(OverrideConflict, match=r"anna has set the ttl of app.fetch to 30m 1s ago \(stale answers\)") as told:
        overrides.set(TASK, "2h", author="ben")

    assert first.id == told.value.current
    assert [(1800.0, 1.0)] == state(overrides)
    with pytest.raises(OverrideConflict, match="no longer in force"):
        overrides.rollback("app.other", author="ben", after=3)


def test_of_many_at_once_one_succeeds(overrides):
    """Compare and set, in one transaction."""
    done, told = [], []

    def operate(number):
        mine = Overrides(overrides.path.parent)
        try:
            done.append(mine.set(TASK, 100 + number, author=f"operator {number}"))
        except OverrideConflict:
            told.append(number)
        mine.close()

    threads = [threading.Thread(target=operate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (1, 7) == (len(done), len(told))
    assert [(done[0].ttl, 1.0)] == state(overrides)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ttl": 0}, "ttl=0 is no time at all: to cache nothing, change the code"),
        ({"ttl": -5}, "ttl=-5"),
        ({"ttl": float("nan")}, "ttl"),
        ({"ttl": "soon"}, "ttl"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"share": float("nan")}, "share"),
        ({"guard": "errors<5%"}, "is no limit"),
        ({"guard": "errors<=5%, errors<=6%"}, "is no limit"),
        ({"guard": "errors<=500%"}, "at most 100%"),
        ({"guard": "changed<=2x"}, "is no limit"),
        ({"guard": "errors<=1.2.3%"}, "is no number"),
        ({"guard": "calls<=1.5x"}, "share below 1"),
        ({"expires_in": 0}, "expires_in=0 is no time at all: leave it out for no end"),
    ],
)
def test_a_bad_value_is_refused_and_the_old_one_kept(overrides, options, text):
    """Whatever it is."""
    first = overrides.set(TASK, 60, author="anna")
    given = {"ttl": "45m", "author": "ben", "after": first.id} | options
    with pytest.raises(PolicyError, match=text):
        overrides.set(TASK, **given)

    assert [(60.0, 1.0)] == state(overrides)


def test_a_promotion_must_grow(overrides):
    """To more of the keys than now; and there must be something to promote."""
    with pytest.raises(PolicyError, match="none to promote"):
        overrides.promote(TASK, author="anna", after=0)
    first = overrides.set(TASK, 60, share=0.25, guard="calls<=2x", author="anna")
    first = overrides.promote(TASK, 0.5, author="anna", after=first.id)
    assert Guard(calls=2.0) == first.guard
    with pytest.raises(PolicyError, match="applies to 50% of the keys already"):
        overrides.promote(TASK, 0.5, author="anna", after=first.id)
    whole = overrides.promote(TASK, author="anna", after=first.id)

    assert whole.guard is None  # nothing is left to compare with


def test_what_has_proved_itself_is_renewed(overrides, clock):
    """It lasts longer from now on, for the same keys and without its guard; taking it back still goes to what it had replaced."""
    with pytest.raises(PolicyError, match="none to renew"):
        overrides.renew(TASK, expires_in=60, author="anna", after=0)
    earlier = overrides.set(TASK, 100, author="anna")
    first = overrides.set(TASK, 200, share=0.5, guard="errors<=5%", author="anna", reason="hits", expires_in=60, after=earlier.id)
    clock.advance(30)
    renewed = overrides.renew(TASK, expires_in="1h", author="ben", after=first.id)
    with pytest.raises(OverrideConflict):
        overrides.renew(TASK, expires_in="2h", author="anna", after=first.id)
    with pytest.raises(PolicyError, match="expires_in=0 is no time at all"):
        overrides.renew(TASK, expires_in=0, author="anna", after=renewed.id)

    assert [renewed] == overrides.current()
    assert ("renew", 200.0, 0.5, None) == (renewed.action, renewed.ttl, renewed.share, renewed.guard)
    assert ("ben", "", clock.time(), clock.time() + 3600) == (renewed.author, renewed.reason, renewed.created, renewed.expires)
    assert (first.id, first.id) == (renewed.previous, renewed.base)
    assert 100.0 == overrides.rollback(TASK, author="anna", after=renewed.id).ttl


def test_a_dry_run_checks_and_changes_nothing(overrides):
    """It says what would be, or what is wrong."""
    would = overrides.set(TASK, 60, author="anna", dry_run=True)
    nothing = overrides.history()
    first = overrides.set(TASK, 60, share=0.1, author="anna")
    promoted = overrides.promote(TASK, author="anna", after=first.id, dry_run=True)
    taken_back = overrides.rollback(TASK, author="anna", after=first.id, dry_run=True)

    assert (60.0, []) == (would.ttl, nothing)
    assert (1.0, None) == (promoted.share, taken_back.ttl)
    assert [first] == overrides.history()
    with pytest.raises(OverrideConflict):
        overrides.set(TASK, 60, author="anna", dry_run=True)


def test_somebody_elses_file_is_refused(tmp_path):
    """It is left as it is."""
    (tmp_path / "overrides.db").write_text("notes")
    with pytest.raises(StoreError):
        Overrides(tmp_path).set(TASK, 60, author="anna")

    assert "notes" == (tmp_path / "overrides.db").read_text()


def test_the_file_is_private(overrides):
    """Who may write it says how stale answers may be."""
    overrides.set(TASK, 60, author="anna")

    assert {0o600} == {path.stat().st_mode & 0o777 for path in overrides.path.parent.glob("overrides.db*")}


def made(share, base):
    """An override of a share."""
    return Override(base, TASK, "set", 60.0, share, None, "anna", "", 0.0, None, 0, base)


@given(st.floats(0.01, 0.99), st.integers(1, 1 << 40))
def test_a_share_covers_about_that_many_keys(share, base):
    """By hash, also among keys that were chosen by the same hash, as a thinned recording has them; and a larger share holds the smaller."""
    chance = random.Random(base)
    for limit in (1 << 64, 1 << 58):
        keys = [chance.randrange(1, limit) for _ in range(2000)]
        small = {key for key in keys if made(share / 2, base).covers(key)}
        large = {key for key in keys if made(share, base).covers(key)}

        assert small <= large
        assert abs(len(large) / len(keys) - share) < 0.08


def test_what_is_expected_is_kept(overrides):
    """Through a promotion too, since it is of the same ttl; taking it back expects nothing."""
    first = overrides.set(TASK, "45m", share=0.1, expected="hits=73.4%, stale=2%", author="anna")
    second = overrides.promote(TASK, author="anna", after=first.id)
    overrides.rollback(TASK, author="anna", after=second.id)

    assert [Expected(0.734, 0.02), Expected(0.734, 0.02), None] == [each.expected for each in overrides.history()]
    assert "hits=73.4%, stale=2%" == str(first.expected)


@pytest.mark.parametrize("text", ["", "hits", "hits=73.4", "hits=1.2.3%", "hits=101%", "hits=5%,hits=6%", "calls=5%", "stale=-1%"])
def test_what_cannot_be_expected_is_refused(overrides, text):
    """And nothing is set."""
    with pytest.raises(PolicyError, match="expected="):
        overrides.set(TASK, "45m", expected=text, author="anna")
    assert [] == overrides.history()


def test_a_list_of_an_older_holdfast_is_read_and_written_on(overrides):
    """From before anything was expected."""
    overrides.set(TASK, "45m", author="anna")
    overrides.close()
    with contextlib.closing(sqlite3.connect(overrides.path)) as connection, connection:
        connection.executescript(
            "ALTER TABLE overrides DROP COLUMN expected; DROP TABLE advice; DROP TABLE turns; PRAGMA user_version = 1;"
        )

    assert ([None], []) == ([each.expected for each in overrides.current()], overrides.advice())
    overrides.set(TASK, "50m", expected="hits=5%", after=1, author="anna")
    overrides.close()
    assert [None, Expected(hits=0.05)] == [each.expected for each in overrides.history()]
