"""When an override is taken back, and when it is not for a run of bad luck."""

from __future__ import annotations

import random

import pytest

from holdfast.overrides.guard import Guard, Probes, Seen, changes


def seen(number, *, failed=0, changed=0, keys=10):
    """Answers for ten keys in turn: so many failures at the end, and among renewed ones so many changes."""
    last, answers = {}, []
    for place in range(number):
        key = place % keys + 1
        if key in last and changed > 0:
            changed -= 1
            last[key] += 1
        last.setdefault(key, 1)
        answers.append(Seen(key, float(place), last[key], place < number - failed))
    return answers


@pytest.mark.parametrize(
    ("guard", "answers", "text"),
    [
        ("errors<=5%", seen(100, failed=20), "20 of 100 answers were failures: over errors<=5%"),
        ("errors<=5%", seen(100, failed=11), "11 of 100 answers were failures: over errors<=5%"),
        ("errors<=5%", seen(100, failed=10), ""),
        ("errors<=5%", seen(20, failed=20), "20 of 20 answers were failures: over errors<=5%"),
        ("errors<=5%", seen(19, failed=19), ""),
        ("errors<=0%", seen(100, failed=1), "1 of 100 answers were failures: over errors<=0%"),
        ("changed<=20%", seen(110, changed=60), "60 of 100 renewed entries had changed: over changed<=20%"),
        ("changed<=20%", seen(110, changed=22), ""),
        ("changed<=20%", seen(30, changed=20), "20 of 20 renewed entries had changed: over changed<=20%"),
        ("changed<=20%", seen(25, changed=15), ""),
    ],
)
def test_shares_over_their_limit(guard, answers, text):
    """With 99 % certainty, and from twenty on: of 100 answers, 5 and 2.326 standard deviations more are 10.07."""
    assert text == Guard.parse(guard).breach(answers, [], 1.0)


def test_none_is_never_more_than_a_limit_of_none():
    """However many answers there were."""
    guard = Guard.parse("errors<=0%, changed<=0%, stale<=0%")

    assert {""} == {guard.breach(seen(number), [], 1.0, Probes(number, 0, 1.0)) for number in range(400)}


@pytest.mark.parametrize(
    ("probes", "text"),
    [
        (Probes(100, 12, 0.5), "12 of 100 probed hits were stale, at 50% hits: over stale<=2%"),
        (Probes(100, 4, 0.5), ""),
        (Probes(100, 12, 0.2), ""),
        (Probes(19, 19, 1.0), ""),
        (Probes(), ""),
    ],
)
def test_stale_answers_are_a_share_of_all_gets(probes, text):
    """As a budget is; only probes tell, twenty and more."""
    assert text == Guard.parse("stale<=2%").breach([], [], 1.0, probes)


def test_calls_are_compared_with_other_keys():
    """For as many keys each; a share of one has nothing to compare with."""
    guard = Guard.parse("calls<=1.5x")
    tried, others = seen(300), seen(900)

    assert "3.00 times as often" in guard.breach(tried, others, 0.1)
    assert "" == guard.breach(seen(160), others, 0.1)
    assert "" == guard.breach(tried, others, 1.0)
    assert "" == guard.breach(tried, others, 0.0)
    assert "" == guard.breach(tried, [], 0.1)
    assert "" == guard.breach(seen(19), others, 0.001)
    assert "over calls<=0x" in Guard.parse("calls<=0x").breach(tried, others, 0.1)


def test_a_failure_is_no_change():
    """What was answered before and after it is compared."""
    answers = [Seen(1, 0.0, 5, True), Seen(1, 1.0, 0, False), Seen(1, 2.0, 5, True), Seen(1, 3.0, 6, True), Seen(2, 4.0, 9, True)]

    assert (1, 2) == changes(answers)


def test_false_alarms_are_rare():
    """At exactly the limit, looked at once: in no more than 4 of 100 cases."""
    chance, guard = random.Random(1), Guard.parse("errors<=10%")
    alarms = 0
    for _ in range(400):
        answers = [Seen(1, 0.0, 1, chance.random() >= 0.1) for _ in range(200)]
        alarms += bool(guard.breach(answers, [], 1.0))

    assert alarms <= 16


@pytest.mark.parametrize("text", ["errors<=5%", "changed<=20%", "errors<=0.5%, changed<=100%, calls<=1.25x", "stale<=2%"])
def test_it_is_written_as_it_is_read(text):
    """So that it comes back from the file."""
    assert text == str(Guard.parse(text))
