"""`holdfast cache`, run as people run it: on a folder that a program has left behind."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast import CachePolicy
from holdfast.cache.disk import DiskCache
from holdfast.cli import app as command_line
from holdfast.cli.cache import place
from holdfast.overrides import Overrides
from holdfast.recording.store import Counted, Ledger, segment_of_times
from holdfast.recording.taps import Counts
from holdfast.typing import CacheKey
from holdfast.values.codec import codec_for
from tests.cli.conftest import ENVIRONMENT, command  # noqa: F401 - a fixture

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
FORECAST, PRICE = "app.weather.forecast", "app.shop.price"


@pytest.fixture
def folder(tmp_path):
    """Where the command runs."""
    return tmp_path


def key_of(namespace, n):
    """A key whose digest begins with ``n``."""
    return CacheKey(namespace, bytes([n]) * 16)


@pytest.fixture
def filled(folder):
    """A cache of two tasks, one of them in two versions, that were stored hours ago."""
    codec = codec_for()
    with closing(DiskCache(folder / "c")) as cache:
        for n in range(3):
            cache.set(key_of(f"{FORECAST}@1", n), "x" * 100, codec, ttl=7200, tags=("weather", "fast"))
        cache.set(key_of(f"{FORECAST}@2", 3), "x", codec, ttl=None)
        cache.set(key_of(f"{PRICE}@1", 3), "x" * 2000, codec, ttl=60)
    with closing(sqlite3.connect(folder / "c" / "cache.db")) as connection, connection:  # as if the time had passed
        connection.execute("UPDATE Cache SET store_time = store_time - 3600 * rowid, expire_time = expire_time - 3600 * rowid")
    return folder / "c"


@pytest.mark.parametrize("name", ["stats", "keys", "why", "purge"])
def test_the_documentation_is_what_is_printed(command, folder, name):  # noqa: F811
    """docs/cli.md shows the help of each command, and the tables of these tests."""
    code, out, _ = command("cache", name, "--help")
    said = DOCS.read_text(encoding="utf-8")

    assert 0 == code
    assert f"```text\n$ holdfast cache {name} --help\n{out}```\n" in said
    assert f"```text\n{STATS}```" in said
    assert f"```text\n{KEYS}```" in said


STATS = """\
   TASK                  VERSIONS  ENTRIES  EXPIRED    SIZE  NEWEST  MEDIAN  OLDEST
·  app.shop.price               1        1        1  2.1 kB     5 h     5 h     5 h
·  app.weather.forecast         2        4        2   520 B     1 h     2 h     4 h
"""


def test_stats_of_each_task(command, filled):  # noqa: F811
    """The largest first; then the whole."""
    code, out, err = command("cache", "stats", "--path", "c")

    assert (0, STATS, "") == (code, out.partition("\n\n")[0] + "\n", err)
    assert re.fullmatch(rf"{re.escape(str(filled))}: 5 entries, \d\d kB on disk\n", out.partition("\n\n")[2])


def test_stats_say_what_was_evicted(command, filled):  # noqa: F811
    """Once something was."""
    with closing(sqlite3.connect(filled / "cache.db")) as connection, connection:
        connection.execute("INSERT INTO HoldfastCount VALUES ('evicted', 1200, 3400000)")

    assert command("cache", "stats", "--path", "c")[1].endswith("kB on disk; evicted so far: 1200 entries, 3.4 MB\n")
    assert 1200 == json.loads(command("cache", "stats", "--path", "c", "--json")[1])["evicted"]


def test_stats_of_what_was_asked(command, filled):  # noqa: F811
    """As far as it was recorded; PROBES and FAILED only where there were any."""
    now = time.time()
    counted = [
        Counted(FORECAST, None, Counts(gets=1000, fills=40, refreshes=9, probes=1, errors=2, seconds=100.0, bytes=7), {12: 90, 13: 10}),
        Counted(PRICE, None, Counts(gets=2)),
    ]
    ledger = Ledger(filled)
    ledger.write([], counted, now - 2 * 86400)
    ledger.close()
    told = command("cache", "stats", "--path", "c")[1].split("\n\n")[1]
    one = json.loads(command("cache", "stats", "price", "--path", "c", "--json")[1])["asked"]
    both = json.loads(command("cache", "stats", "--path", "c", "--json")[1])["asked"]

    assert (
        """\
   TASK                  GETS  HITS  CALLS  PROBES  FAILED    EACH  SPARED    SINCE
·  app.weather.forecast  1000   96%     50       1       2  2.00 s  31 min  2 d ago
·  app.shop.price           2  100%      0                             0 s  2 d ago
app.weather.forecast: 100 entries evicted, half of them at less than 50 min, 5% at less than 35 min"""
        == told
    )
    assert [[{"below_s": 4096, "entries": 90}, {"below_s": 8192, "entries": 10}], []] == [each["evicted_ages"] for each in both]
    assert [(PRICE, 2, 0, 0.0)] == [(each["task"], each["gets"], each["calls"], each["spared_s"]) for each in one]
    assert [(1000, 40, 9, 1, 50, 1900.0), (2, 0, 0, 0, 0, 0.0)] == [
        tuple(each[name] for name in ("gets", "fills", "refreshes", "probes", "calls", "spared_s")) for each in both
    ]


def test_stats_say_when_a_task_was_first_seen(command, filled):  # noqa: F811
    """To the second, while times of the first hour that was counted are kept; else by that hour."""
    hour = time.time() // 3600 * 3600 - 48 * 3600
    ledger = Ledger(filled)
    for task, first in ((FORECAST, hour + 1234.5), (PRICE, hour + 4 * 3600)):
        ledger.write([(segment_of_times(task, 1, 0, [(5, first)]), ())], [Counted(task, None, Counts(gets=1))], hour)
    ledger.close()
    told = json.loads(command("cache", "stats", "--path", "c", "--json")[1])["asked"]

    assert {FORECAST: hour + 1234.5, PRICE: hour} == {each["task"]: each["since"] for each in told}


def test_stats_of_a_cache_that_keeps_no_counts(command, filled):  # noqa: F811
    """As an older holdfast made it."""
    with closing(sqlite3.connect(filled / "cache.db")) as connection, connection:
        connection.execute("DROP TABLE HoldfastCount")

    assert STATS in command("cache", "stats", "--path", "c")[1]


def test_stats_of_one_task_for_programs(command, filled):  # noqa: F811
    """By the end of its name; ages in seconds."""
    code, out, _ = command("cache", "stats", "forecast", "--path", "c", "--json")
    (task,) = json.loads(out)["tasks"]

    assert (0, FORECAST, 2, 4, 2) == (code, task["task"], task["versions"], task["entries"], task["expired"])
    assert pytest.approx(3600, abs=60) == task["newest"]


KEYS = """\
   KEY       TASK                  VERSION  AGE  TTL     SIZE  TAGS
✓  00000000  app.weather.forecast  1        1 h  2h     155 B  weather, fast
■  01010101  app.weather.forecast  1        2 h  2h     155 B  weather, fast
■  02020202  app.weather.forecast  1        3 h  2h     155 B  weather, fast
✓  03030303  app.weather.forecast  2        4 h  never   55 B
"""


def test_keys_of_a_task(command, filled):  # noqa: F811
    """The newest first, with what the entry was stored with; a sign tells which are expired."""
    assert (0, KEYS, "") == command("cache", "keys", "forecast", "--path", "c")


def test_keys_by_size_and_tag(command, filled):  # noqa: F811
    """Cut at a limit, which is said; and chosen by tag."""
    largest = command("cache", "keys", "--path", "c", "--by", "size", "--limit", "1")[1]
    tagged = json.loads(command("cache", "keys", "--path", "c", "--tag", "fast", "--by", "oldest", "--json")[1])

    assert "app.shop.price" in largest
    assert largest.endswith("… and 4 more: --limit 5 shows them\n")
    assert ["02" * 16, "01" * 16, "00" * 16] == [each["key"] for each in tagged]
    assert {("weather", "fast")} == {tuple(each["tags"]) for each in tagged}


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (["forecast"], {PRICE: 1}),
        (["--tag", "weather"], {FORECAST: 1, PRICE: 1}),
        (["--older", "150m"], {FORECAST: 2}),
        (["forecast", "--older", "150m"], {FORECAST: 2, PRICE: 1}),
        (["--key", "0202"], {FORECAST: 3, PRICE: 1}),
        (["price", "--key", "03"], {FORECAST: 4}),
        (["--all"], {}),
    ],
)
def test_purge(command, filled, choice, left):  # noqa: F811
    """What all that is given applies to is gone; a dry run says the same and changes nothing."""
    before = (filled / "cache.db").read_bytes()
    trial = command("cache", "purge", *choice, "--path", "c", "--dry-run")
    assert before == (filled / "cache.db").read_bytes()
    done = command("cache", "purge", *choice, "--path", "c")

    assert (0, 0) == (trial[0], done[0])
    assert trial[1].replace("GOING", "GONE").replace("would go", "gone").split() == done[1].split()
    with closing(DiskCache(filled)) as cache:
        tasks = [place.task_of(info.key.namespace) for info in cache.entries()]
    assert left == {task: tasks.count(task) for task in tasks}


def test_a_key_goes_in_every_version(command, filled):  # noqa: F811
    """It is the same call, whatever the code was: no more of the key could tell them apart."""
    with closing(DiskCache(filled)) as cache:
        cache.set(key_of(f"{FORECAST}@2", 1), "y", codec_for(), ttl=None)
    code, out, _ = command("cache", "purge", "--key", "01", "--path", "c")

    assert 0 == code
    assert "gone: 2 entries" in out


def test_purge_for_programs(command, filled):  # noqa: F811
    """Counts, and whether it was meant."""
    out = command("cache", "purge", "--tag", "weather", "--path", "c", "--dry-run", "--json")[1]

    assert {"dry_run": True, "entries": 3, "size": 465, "tasks": {FORECAST: 3}} == json.loads(out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stats", "forcast"], "nothing is kept of a task 'forcast'; did you mean app.weather.forecast?"),
        (["keys", "zzz"], "nothing is kept of a task 'zzz'; there are entries of app.shop.price, app.weather.forecast"),
        (["keys", "--tag", "nope"], "no entry has the tag 'nope'"),
        (["purge", "--key", "ff"], "no key begins with 'ff': `holdfast cache keys` lists them"),
        (["purge", "--key", "0"], "4 keys begin with '0': 000000000, 010101010, 020202020, .... Give more of it, or its TASK"),
        (
            ["purge", "--key", "03"],
            f"several tasks have the key {'03' * 16}: app.shop.price, app.weather.forecast. Give one of them as TASK",
        ),
    ],
)
def test_what_is_not_there(command, filled, arguments, said):  # noqa: F811
    """What there is instead."""
    assert (1, "", f"Error: {said}\n") == command("cache", *arguments, "--path", "c")


@pytest.mark.parametrize("choice", [[], ["forecast", "--all"], ["--older", "soon"]])
def test_a_purge_that_does_not_say_what(command, filled, choice):  # noqa: F811
    """Is refused as wrongly called: nothing goes by default, and everything not beside a choice."""
    assert 2 == command("cache", "purge", *choice, "--path", "c")[0]


@pytest.mark.parametrize(
    "name", ["stats", "keys", "why forecast 5be1", "purge --all", "tune", "ttl list", "ttl history", "ttl set forecast 45m"]
)
def test_before_there_is_any_cache(folder, name, monkeypatch):
    """It says what makes one, and how to name another."""
    monkeypatch.setenv("HOLDFAST_CACHE_DIR", str(folder / "mine"))
    done = CliRunner().invoke(command_line.app, ["cache", *name.split()])
    said = f"Error: there is no cache in {folder}/mine yet.\nA function with a cache_policy makes it when it is called. "

    assert (1, f"{said}Where a program has a DiskCache(DIR) of its own, say --path DIR.\n") == (done.exit_code, done.output)
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("name", ["stats", "keys", "purge --all"])
def test_a_folder_without_a_cache(command, folder, name):  # noqa: F811
    """Is said, and none is made."""
    (folder / "other").mkdir()
    (folder / "other" / "cache.db").write_bytes(b"somebody else's " * 1000)

    assert (1, "", f"Error: there is no cache in {folder}/none: it has no cache.db\n") == command("cache", *name.split(), "--path", "none")
    assert 1 == command("cache", *name.split(), "--path", "other")[0]
    assert [folder / "other"] == list(folder.iterdir())


def test_looking_leaves_nothing_behind(command, filled):  # noqa: F811
    """No file is made or changed."""
    before = {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}
    command("cache", "stats", "--path", "c")
    command("cache", "keys", "--path", "c")

    assert before == {path: path.read_bytes() for path in filled.rglob("*") if path.is_file()}


def test_looking_while_a_program_writes(command, filled):  # noqa: F811
    """It reads what is committed, and waits for nobody."""
    with closing(sqlite3.connect(filled / "cache.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert STATS in command("cache", "stats", "--path", "c")[1]


def test_why_says_what_became_of_a_key(command, filled):  # noqa: F811
    """In each version of the task; for one that is gone, too, and changing nothing."""
    with closing(DiskCache(filled)) as cache:
        cache.delete(key_of(f"{FORECAST}@1", 0))
    before = (filled / "cache.db").read_bytes()
    forgotten = command("cache", "why", "forecast", "0000", "--path", "c")
    expired = json.loads(command("cache", "why", FORECAST, "0101", "--path", "c", "--json")[1])
    found = command("cache", "why", "forecast", "03", "--path", "c")[1]

    assert re.fullmatch(
        rf"{FORECAST}@1  00000000\n  invalidated: stored 1h\S* ago, and forgotten since, by purge, forget or invalidate, \d+s ago\n",
        forgotten[1],
    )
    assert [("expired", 7200.0)] == [(each["cause"], each["ttl"]) for each in expired]
    assert found.startswith(f"{FORECAST}@2  03030303\n  found: nothing is missing: stored 4h")
    assert before == (filled / "cache.db").read_bytes()


@pytest.mark.parametrize(
    ("task", "key", "said"),
    [
        ("forecast", "ff", "no key of forecast begins with 'ff': never stored, or so long ago that it is not remembered"),
        ("forecast", "0", "4 keys begin with '0': "),
        ("forcast", "00", "nothing is kept of a task 'forcast'; did you mean app.weather.forecast?"),
    ],
)
def test_why_of_what_is_not_there(command, filled, task, key, said):  # noqa: F811
    """What there is instead."""
    code, out, err = command("cache", "why", task, key, "--path", "c")

    assert (1, "", True) == (code, out, err.startswith(f"Error: {said}"))


@pytest.fixture
def of_use(filled):
    """The same, with a ttl and windows that were recorded of one task: what it stored is an hour old, two and three."""
    ledger = Ledger(filled)
    policy = CachePolicy(ttl=1800, stale_while_revalidate=3000, stale_if_error=6000)
    ledger.write([], [Counted(FORECAST, policy, Counts(gets=1))], time.time())
    ledger.close()
    return filled


def test_keys_tell_what_is_of_use_though_its_ttl_is_over(command, of_use):  # noqa: F811
    """By the ttl in force: served while it is renewed, served if computing fails, or nothing any more; an override counts."""
    told = {each["key"][:2]: each["state"] for each in json.loads(command("cache", "keys", "forecast", "--path", "c", "--json")[1])}
    out = command("cache", "keys", "forecast", "--path", "c")[1]
    with closing(Overrides(of_use)) as overrides:
        overrides.set(FORECAST, "90m", author="anna")
    longer = {each["key"][:2]: each["state"] for each in json.loads(command("cache", "keys", "forecast", "--path", "c", "--json")[1])}

    assert {"00": "stale", "01": "stale_if_error", "02": "expired", "03": "expired"} == told
    assert ["KEY       TASK                  VERSION  AGE  TTL    STATE            SIZE  TAGS"] == [out.splitlines()[0].strip()]
    assert ["✓", "■", "■", "■"] == [line[0] for line in out.splitlines()[1:]]
    assert {"00": "fresh", "01": "stale", "02": "stale_if_error", "03": "expired"} == longer


def test_why_tells_what_is_of_use_though_its_ttl_is_over(command, of_use):  # noqa: F811
    """Nothing is missing where it is served; a call that computes has it in case that it fails."""
    (stale,), (spare,), (over,) = (
        json.loads(command("cache", "why", "forecast", key, "--path", "c", "--json")[1]) for key in ("00", "01", "02")
    )
    texts = [command("cache", "why", "forecast", key, "--path", "c")[1].splitlines()[1] for key in ("00", "01", "02")]

    assert [("", "stale"), ("expired", "stale_if_error"), ("expired", "")] == [
        (each["cause"], each["kept"]) for each in (stale, spare, over)
    ]
    assert re.fullmatch(
        r"  stale: nothing is missing: stored 1h\S* ago, and its ttl is over: 30m; it is served while a call behind renews it", texts[0]
    )
    assert re.fullmatch(r"  expired: stored 2h\S* ago, and its ttl is over: 30m; it is served if computing fails", texts[1])
    assert re.fullmatch(r"  expired: stored 3h\S* ago, and its ttl is over: 30m", texts[2])


APP = """
import sys
from holdfast import CachePolicy, DiskCache, resilient, task

CACHE = DiskCache("c")

@resilient(cache=CACHE, cache_policy=CachePolicy(ttl="1h"))
def forecast(city: str, days: int = 3) -> str:
    return city

@task
def plain() -> None: ...
"""


@pytest.fixture
def app(folder):
    """A module with a cached function that was called as a program calls it."""
    (folder / "app.py").write_text(APP)
    subprocess.run(
        [sys.executable, "-c", "import app; app.forecast('Oslo'); app.forecast('Lima', 5)"], cwd=folder, check=True, env=ENVIRONMENT
    )


def test_why_of_a_calls_arguments(command, app, folder):  # noqa: F811
    """Judged as the program would: by its key, the ttl in force, and the nearest keys; and nothing is changed by asking."""
    before = (folder / "c" / "cache.db").read_bytes()

    def why(*given):
        return command("cache", "why", "app:forecast", "--path", "c", *given)

    found = why("--args", '["Oslo"]')
    named = json.loads(why("--args", '{"city": "Oslo", "days": 3}', "--json")[1])
    cold = why("--args", '["Oslo", 5]')[1]
    Overrides(folder / "c").set("app.forecast", "1ms", author="anna")
    expired = why("--args", '["Oslo"]')[1]

    assert (0, "") == (found[0], found[2])
    assert "found: nothing is missing" in found[1]
    assert [("", 3600.0)] == [(each["cause"], each["ttl"]) for each in named]
    assert "cold: not stored yet" in cold
    assert {"city", "days"} == set(re.findall(r"differs in (\w+)", cold))
    assert "expired: stored" in expired
    assert before == (folder / "c" / "cache.db").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["app:forecast"], "give KEY, or --args with the arguments of a call"),
        (["app:forecast", "00", "--args", "[]"], "give KEY, or --args"),
        (["app:forecast", "--args", "Oslo"], "--args Oslo: JSON is malformed"),
        (["app:forecast", "--args", "3"], "--args 3: give a list of arguments, or an object of named ones"),
        (["app:forecast", "--args", '["Oslo", 3, 4]'], "takes from 1 to 2 positional arguments but 3 were given"),
        (["forecast", "--args", "[]"], "'forecast' does not name a function: write MODULE:FUNCTION"),
        (["app:forcast", "--args", "[]"], "module 'app' has no 'forcast'; did you mean 'forecast'?"),
        (["app:plain", "--args", "[]"], "app:plain is not cached"),
    ],
)
def test_why_of_arguments_that_cannot_be(command, app, folder, arguments, said):  # noqa: F811
    """Wrong use, and what is right."""
    code, out, err = command("cache", "why", *arguments, "--path", "c")

    assert (2, "") == (code, out)
    assert said in err


def test_why_of_a_function_that_was_never_cached_is_no_cold_miss(command, app, folder):  # noqa: F811
    """A module of another name, say: a program that was run as a script."""
    (folder / "other.py").write_text(APP)
    code, _, err = command("cache", "why", "other:forecast", "--args", '["Oslo"]', "--path", "c")

    assert 1 == code
    assert "nothing is kept of a task 'other.forecast'; did you mean app.forecast?" in err
