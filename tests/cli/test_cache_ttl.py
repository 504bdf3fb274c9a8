"""`holdfast cache ttl`, run as people run it: on a cache that a program has left behind."""

from __future__ import annotations

import json
import random
import re
import time
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import CachePolicy, Probe, resilient
from holdfast.cache.disk import DiskCache
from holdfast.overrides import Overrides
from holdfast.overrides.advice import Advice
from holdfast.recording.store import Counted, Ledger
from holdfast.recording.taps import Answer, Counts
from holdfast.recording.trial import probed
from holdfast.runtime import probing
from holdfast.tuning import Recording
from holdfast.typing import CacheKey
from holdfast.values.codec import codec_for
from tests.cli.conftest import command  # noqa: F401 - a fixture
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
FORECAST, PRICE = "app.weather.forecast", "app.shop.price"


@pytest.fixture
def folder(tmp_path):
    """Where the command runs."""
    return tmp_path


@pytest.fixture
def ttl(command, folder):  # noqa: F811
    """Run a subcommand on a cache of two tasks."""
    with closing(DiskCache(folder / "c")) as cache:
        for task in (FORECAST, PRICE):
            cache.set(CacheKey(f"{task}@1", bytes(16)), "x", codec_for(), ttl=3600)
    ledger = Ledger(folder / "c")
    ledger.write([], [Counted(FORECAST, CachePolicy(ttl=3600, ttl_range=(60, 7200)), Counts(gets=2, fills=1))], 1_000_000.0)
    ledger.close()
    return lambda *arguments: command("cache", "ttl", *arguments, "--path", "c")


def test_set_promote_and_take_back(ttl, folder):
    """Each says what holds now and what held before; the list and the history show it."""
    code, out, err = ttl("set", "forecast", "45m", "--canary", "10%", "--guard", "errors<=5%", "--author", "anna", "--expires", "7d")
    assert (0, "") == (code, err)
    assert out == (
        f"{FORECAST}: ttl 45m, for 10% of its keys, 1h before, taken back unless errors<=5%, for 7d\n"
        "override 1; running programs follow within a second\n"
    )
    assert "10% before" in ttl("promote", "forecast", "--author", "ben")[1]
    code, out, _ = ttl("list")
    assert re.search(rf"{FORECAST}\s+45m\s+100%\s+errors<=5%\s+ben\s+\d+ (?:s|min) ago\s+in 7 d\s+2", out)
    assert "ttl of its policy, 45m before" in ttl("rollback", "forecast", "--author", "ben", "--reason", "stale answers")[1]
    assert "no ttl is overridden\n" == ttl("list")[1]
    history = json.loads(ttl("history", "--json")[1])

    assert ["set", "promote", "rollback"] == [each["action"] for each in history]
    assert [2700.0, 2700.0, None] == [each["ttl"] for each in history]
    assert "stale answers" in ttl("history", "forecast")[1]


def test_the_second_operator_is_told(ttl, folder):
    """And how to go on all the same."""
    assert 0 == ttl("set", "forecast", "45m", "--author", "anna", "--reason", "hits")[0]
    code, out, err = ttl("set", "forecast", "2h", "--author", "ben")
    replaced = ttl("set", "forecast", "2h", "--author", "ben", "--after", "1")

    assert (1, "") == (code, out)
    assert re.search(
        r"anna has set the ttl of app.weather.forecast to 45m \d+s ago \(hits\): that is override 1, and none was expected", err
    )
    assert "name it to replace it: --after 1" in " ".join(err.split())
    assert "ttl 2h, for 100% of its keys, 45m before" in replaced[1]


def test_a_task_that_was_never_overridden_has_no_history(ttl, folder):
    """Which is not the same as a cache without the task."""
    assert (0, "no ttl was ever overridden\n", "") == ttl("history", "forecast")


def test_a_plain_number_is_seconds(ttl, folder):
    """As the help says: a shell has no numbers, and all that is typed is text."""
    assert "ttl 5m, for 100% of its keys" in ttl("set", "price", "300", "--expires", "3600.5", "--dry-run")[1]


def test_a_dry_run_changes_nothing(ttl, folder):
    """It says what would be."""
    code, out, _ = ttl("set", "price", "45m", "--dry-run")

    assert 0 == code
    assert "ttl 45m, for 100% of its keys, its policy's before\nnothing was changed\n" in out
    assert [] == Overrides(folder / "c").history()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "forecast", "soon"), "Invalid value for 'TTL': 'soon' is no length of time: give seconds, or"),
        (("set", "forecast", "0"), "ttl 0s is beyond the ttl_range"),
        (("set", "forecast", "9", "--expires", "never"), "Invalid value for '--expires': 'never' is no length of time"),
        (("set", "forecast", "1"), "ttl 1s is beyond the ttl_range"),
        (("set", "forecast", "5m", "--canary", "10"), "Invalid value for '--canary': '10' is more than all: give for example 10% or 0.1"),
        (("history", "forcast"), "nothing is kept of a task 'forcast'; did you mean app.weather.forecast?"),
        (("set", "forecast", "8h"), "ttl 8h is beyond the ttl_range of app.weather.forecast, 1m to 2h"),
        (("set", "forecast", "5m", "--canary", "much"), "'much' is no share"),
        (("set", "forecast", "5m", "--canary", "0%"), "share=0.0"),
        (("set", "forecast", "5m", "--guard", "errors"), "is no limit"),
        (("set", "forcast", "5m"), "did you mean app.weather.forecast?"),
        (("promote", "forecast"), "no override of app.weather.forecast is in force"),
        (
            ("set", "forecast", "5m", "--after", "7"),
            "override 7 of app.weather.forecast is no longer in force: nothing is: leave --after out",
        ),
        (("rollback", "forecast"), "no override of app.weather.forecast is in force"),
    ],
)
def test_what_cannot_be_is_refused(ttl, folder, arguments, said):
    """With one line and no traceback; nothing is changed."""
    code, out, err = ttl(*arguments)

    assert code in (1, 2)
    assert "" == out
    assert said in err
    assert "Traceback" not in err
    assert [] == Overrides(folder / "c").history()


def test_a_folder_without_a_cache_is_said(command, folder):  # noqa: F811
    """It is not made."""
    code, _, err = command("cache", "ttl", "list", "--path", "nowhere")

    assert 1 == code
    assert "there is no cache in" in err
    assert not (folder / "nowhere").exists()


@pytest.mark.parametrize("name", [[], ["set"]])
def test_the_documentation_is_what_is_printed(command, folder, name):  # noqa: F811
    """docs/cli.md shows the help."""
    code, out, _ = command("cache", "ttl", *name, "--help")
    shown = " ".join(["holdfast cache ttl", *name, "--help"])

    assert 0 == code
    assert f"```text\n$ {shown}\n{out}```\n" in DOCS.read_text(encoding="utf-8")


def test_the_history_holds_what_came_against_what_was_expected(command, folder, clock, monkeypatch):  # noqa: F811
    """Hits as they were counted by the source, stale answers as probes found them; too short a time has no outcome."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    chance, asked, told = random.Random(3), [], {}
    overrides = Overrides(folder / "c")
    with closing(DiskCache(folder / "c")) as cache:

        @resilient(
            name="rain",
            retry_policy=(),
            cache_policy=CachePolicy(ttl="1m", version="1", probe=Probe(share=1, max_per_hour=360)),
            cache=cache,
        )
        def rain(city: int) -> int:
            asked.append(clock.time())
            return int(clock.time() // 97)

        def traffic(seconds):
            begin, before, gets, end = clock.time(), len(asked), 0, clock.time() + seconds
            while clock.time() < end:
                rain(chance.randrange(5))
                gets += 1
                clock.advance(1)
                if not gets % 10:
                    cache.witness.look()
                    until(lambda: not probing._under_way)
            cache.witness.look()
            probes = Recording.load(folder / "c").counters.probes
            told[begin] = gets, len(asked) - before - (probes - sum(each[2] for each in told.values())), probes
            return gets

        traffic(300)
        name = Recording.tasks(folder / "c")[0]
        overrides.set(name, "30s", expected="hits=80%, stale=20%", author="anna")
        cache.witness.look()
        begin = clock.time()
        traffic(1200)
        overrides.set(name, "20s", after=1, author="ben")
        traffic(60)
    overrides.close()
    code, out, err = command("cache", "ttl", "history", "--path", "c")
    first, second = json.loads(command("cache", "ttl", "history", "--path", "c", "--json")[1])
    gets, fills, _ = told[begin]

    assert (0, "") == (code, err)
    assert {"hits": 0.8, "stale": 0.2} == first["expected"]
    assert (gets, 1 - fills / gets) == (first["outcome"]["gets"], pytest.approx(first["outcome"]["hits"]))
    assert first["outcome"]["probes"] >= 90
    assert 0.05 < first["outcome"]["stale"] < 0.35
    assert (None, None) == (second["expected"], second["outcome"])
    assert re.search(r"80% hits, 20% stale +[\d.]+% hits, [\d.]+% stale", out)
    assert re.search(r" EXPECTED +CAME +REASON", out)


def test_probes_are_held_against_what_was_stored():
    """Not against one another, nor a failure; one of a key of which nothing is known says nothing."""

    def answer(began, kind, fingerprint, *, key=1, ok=True):
        return Answer(key, began, 0.1, fingerprint, 1, None, kind, ok)

    seen = [
        answer(0, "probe", 5),
        answer(1, "fill", 5),
        answer(2, "probe", 6),
        answer(3, "probe", 6),
        answer(4, "fill", 0, ok=False),
        answer(5, "probe", 5),
        answer(6, "refresh", 6),
        answer(7, "probe", 6),
        answer(8, "probe", 6, key=2),
    ]

    assert [(2, True), (3, True), (5, False), (7, False)] == probed(seen)


def test_what_is_suggested_is_listed(ttl, command, folder):  # noqa: F811
    """Where people look, until it is in force or old; what there is nothing to do about is not."""
    now, overrides = time.time(), Overrides(folder / "c")
    overrides.advise(Advice(FORECAST, now - 7200, 3600.0, 2700.0, "B", 0.02, "lower the ttl from 1h to 45m"))
    overrides.advise(Advice(PRICE, now, 3600.0, 3600.0, "A", 0.02, "keep ttl=1h"))
    line = "suggested 2 h ago, for a budget of 2% stale: lower the ttl from 1h to 45m\n"
    listed, stats = ttl("list")[1], command("cache", "stats", "--path", "c")[1]
    others, told = command("cache", "stats", "price", "--path", "c")[1], json.loads(command("cache", "stats", "--path", "c", "--json")[1])
    made = overrides.set(FORECAST, 2700, author="anna")
    taken = ttl("list")[1]
    overrides.rollback(FORECAST, author="anna", after=made.id)
    overrides.advise(Advice(FORECAST, now - 3 * 86400, 3600.0, 2700.0, "B", 0.02, "lower the ttl from 1h to 45m"))
    overrides.close()

    assert "no ttl is overridden\n" + line == listed
    assert ("\n" + line in stats, "suggested 2 h" in others) == (True, False)
    assert [(FORECAST, 2700.0)] == [(each["task"], each["ttl"]) for each in told["suggested"]]
    assert "suggested 2 h" not in taken
    assert "no ttl is overridden\n" == ttl("list")[1]
