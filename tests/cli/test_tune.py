"""`holdfast cache tune`, run as people run it: on what a cache has recorded, and on files."""

from __future__ import annotations

import json
import random
import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest

from holdfast import CachePolicy, DiskCache, resilient
from holdfast.tuning import Access, Recording, Trace
from tests.cli.conftest import command  # noqa: F401 - a fixture
from tests.tuning.sources import world

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.fixture
def folder(tmp_path):
    """Where the command runs."""
    return tmp_path


@pytest.fixture
def files(folder):
    """Accesses, and sightings with probes, of a source behind a TTL of two minutes; options that name them."""
    made = world(keys=60, probes=0.05, seed=5)
    made.trace.to_csv(folder / "calls.csv")
    made.sightings.to_csv(folder / "answers.csv")
    return ("--from", "calls.csv", "--sightings", "answers.csv", "--live-ttl", "2m")


@pytest.fixture
def recorded(folder, clock, monkeypatch):
    """The folder of a cache that has recorded two functions for an hour of theirs."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    chance, path = random.Random(4), folder / "c"
    with closing(DiskCache(path)) as cache:

        @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="1m"), cache=cache)
        def forecast(city: int) -> int:
            return int((clock.time() + 97 * city) // 300)

        @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="5m"), cache=cache)
        def price(item: int) -> int:
            return item

        for _ in range(900):
            forecast(chance.randrange(12))
            clock.advance(chance.expovariate(1 / 3))
        price(1)
        cache.witness.look()
    return path


def test_the_help_is_in_the_documentation(command):  # noqa: F811
    """As it is printed."""
    code, out, _ = command("cache", "tune", "--help")

    assert 0 == code
    assert f"```text\n$ holdfast cache tune --help\n{out}```\n" in DOCS.read_text(encoding="utf-8")


def test_the_screen_says_what_the_report_says(command, files, folder):  # noqa: F811
    """A line for each TTL, bars, the reasons; nothing wider than the terminal but what cannot be narrower."""
    code, out, err = command("cache", "tune", "app.weather.forecast", *files, "--stale-budget", "20%")
    report = json.loads(command("cache", "tune", *files, "--stale-budget", "0.2", "--json")[1])
    lines = out.splitlines()

    assert (0, "") == (code, err)
    assert re.fullmatch(r"app\.weather\.forecast: (keep ttl=\w+|(raise|lower) the ttl from 2m to \w+) \(evidence A\)", lines[0])
    for point in report["curve"]:
        assert any(f"{100 * point['hits']:.1f}%" in line and f"{100 * point['stale']:.1f}%" in line for line in lines)
    assert 1 == sum(line.startswith("►") for line in lines)
    assert len(report["curve"]) == sum("█" in line for line in lines)
    assert {"why:", "why not:", "what could be wrong:"} <= {line.strip().partition(":")[0] + ":" for line in lines}
    assert all(len(line) <= 80 for line in lines)


def test_an_old_terminal_gets_plain_signs(command, files, monkeypatch):  # noqa: F811
    """No letter that it does not have."""
    monkeypatch.setitem(command.__globals__["ENVIRONMENT"], "PYTHONIOENCODING", "ascii")
    code, out, _ = command("cache", "tune", *files, "--stale-budget", "20%")

    assert 0 == code
    assert out.isascii()
    assert "####" in out
    assert any(line.startswith("> ") for line in out.splitlines())


def test_a_recording_is_tuned_by_the_end_of_its_tasks_name(command, recorded, folder):  # noqa: F811
    """The live TTL is known; the same as from Python."""
    code, out, err = command("cache", "tune", "forecast", "--path", "c", "--stale-budget", "50%", "--json")
    told = json.loads(out)
    recording = Recording.load(recorded, task="forecast")

    assert (0, "") == (code, err)
    assert (recording.task, 60.0, 900) == (told["task"], told["live_ttl"], told["facts"]["gets"])
    assert told["facts"]["changed"] > 0
    assert "B" == told["recommendation"]["grade"]


def test_since_says_from_when_on_it_counts(command, recorded):  # noqa: F811
    """A full hour, by which counts are kept."""
    out = command("cache", "tune", "forecast", "--path", "c", "--max-age", "45s", "--since", "999d")[1]

    assert re.search(r"\n  counted from \d{4}-\d\d-\d\d \d\d:[034][05] on: what is counted is kept by the hour\n", out)


def test_what_applies_it_does(command, recorded):  # noqa: F811
    """The last line is a command: run as it stands it changes the TTL, and the next one knows what it replaces."""
    options = ("cache", "tune", "forecast", "--path", "c", "--max-age", "45s")
    *_, line = command(*options)[1].splitlines()
    said = command(*shlex.split(line.removeprefix("  apply: holdfast ")))
    *_, after = command(*options)[1].splitlines()

    assert 0 == said[0], said
    assert re.search(r"forecast' 45s --expect hits=[\d.]+%,stale=[\d.]+% --path c$", line)
    assert re.search(r" --after \d+ --path c$", after)


def test_all_tasks_are_tuned_one_after_another(command, recorded):  # noqa: F811
    """With --json a list; one that was hardly called says how much more is needed."""
    code, out, _ = command("cache", "tune", "--all", "--path", "c", "--max-age", "90s")
    told = json.loads(command("cache", "tune", "--all", "--path", "c", "--max-age", "90s", "--json")[1])

    assert 0 == code
    assert ["forecast", "price"] == [each["task"].rpartition(".")[2] for each in told]
    assert "there is too little to go by: record 199 more gets (there are 1)" in " ".join(out.split())


def test_the_page_is_written_beside_the_screen(command, files, folder):  # noqa: F811
    """One file that a browser opens."""
    code, out, _ = command("cache", "tune", *files, "--stale-budget", "20%", "--html", "whatif.html")

    assert 0 == code
    assert "stale" in out
    assert (folder / "whatif.html").read_text().startswith("<!doctype html>")


def test_prices_make_the_cheapest_win(command, files):  # noqa: F811
    """And have a column."""
    _, out, _ = command("cache", "tune", *files, "--price", "call=0.01,stale=0.5")

    assert re.search(r" CALLS +COST ", out)
    assert "Calls are those of the 3.33h recorded: too short to say how many a day" in out
    assert "the cheapest of those allowed" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--stale-budget", "150%"), "Invalid value for '--stale-budget': '150%' is more than all: give for example 10% or 0.1"),
        (("--stale-budget", "few"), "'few' is no share: give for example 10% or 0.1"),
        (("--price", "calls=1"), "there is no price 'calls': those there are: call, latency, stale"),
        (("--price", "call"), "'call' is no price: write call=0.002,latency=0.01,stale=0.05"),
        (("--max-age", "soon"), "Invalid value for '--max-age': 'soon' is no length of time: give seconds, or for example 90s"),
        (("--reach", "0"), "reach=0.0 is not a factor from 1 on"),
        (("--since", "1d"), "--since and --path are for what the cache has recorded"),
        (("--all",), "--all is for every task of a recording"),
    ],
)
def test_what_cannot_be_asked_is_a_wrong_call(command, files, options, why):  # noqa: F811
    """Exit code 2, the value, and what to write."""
    code, out, err = command("cache", "tune", *files, *options)

    assert (2, "") == (code, out)
    assert why in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--from", "none.csv"), 1, "there is no file none.csv"),
        (("--from", "empty.csv"), 1, "the trace holds no accesses: record 200 gets or more"),
        (("--from", "bad.csv"), 1, "bad.csv, line 3: the time goes back by 1 s"),
        (("--from", "one.csv", "--html", "no/such/page.html"), 1, "no/such/page.html cannot be written"),
        (("--from", "one.csv", "--sightings", "none.csv"), 1, "Error: there is no file none.csv"),
        (("--path", "nowhere"), 1, "there is no recording"),
        (("--path", "c", "forcast"), 1, "there is no task 'forcast'"),
        (("--path", "c"), 1, "2 tasks are recorded in "),
        (("--sightings", "one.csv"), 2, "--sightings goes with --from"),
        (("--all", "--html", "x.html"), 2, "--html writes the page of one task"),
    ],
)
def test_what_is_not_there_is_said(command, folder, recorded, options, code, why):  # noqa: F811
    """The file, the line, the nearest names."""
    (folder / "empty.csv").write_text("t_s,key\n")
    (folder / "bad.csv").write_text("t_s,key\n2,a\n1,a\n")
    Trace([Access("a", 0)]).to_csv(folder / "one.csv")
    found, _, err = command("cache", "tune", *options)

    assert code == found
    assert why in " ".join(err.split())
