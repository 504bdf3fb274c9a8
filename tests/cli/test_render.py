"""What a run looks like in a terminal, as literal text."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from holdfast.cli.marks import ASCII, age, count, plain, took
from holdfast.cli.render import render_run
from holdfast.tracing.spans.records import SpanRow

TRACE = "0198c0de7d3a7c1b9a4e0c8f3c3f7a10"
RUN = "0198c0de-7d3a-7c1b-9a4e-0c8f3c3f7a10"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Rows:
    """Collects the spans of a run; times are milliseconds, ``__`` in attribute names stands for a dot."""

    def __init__(self):
        self.rows = []

    def add(self, name, start, ms, parent="", error="", text="", **attributes):
        known = {key.replace("__", "."): value for key, value in attributes.items()}
        if error:
            known["error.type"] = error
        span_id = f"{len(self.rows) + 1:016x}"
        self.rows.append(
            SpanRow(TRACE, span_id, parent, name, int(start * 1e6), int((start + ms) * 1e6), "error" if error else "unset", text, known)
        )
        return span_id

    def run(self, ms, **attributes):
        return self.add("run plan", 0, ms, holdfast__span__type="run", **self._shared(), **attributes)

    def task(self, name, start, ms, parent, **options):
        return self.add(name, start, ms, parent, holdfast__span__type="task", holdfast__task__name=name, **self._shared(), **options)

    def attempt(self, number, start, ms, parent, **options):
        return self.add(
            "a", start, ms, parent, holdfast__span__type="attempt", holdfast__attempt__number=number, **self._shared(), **options
        )

    def retried(self, number, start, ms, parent, error, text, wait, reason, **options):
        after = {"holdfast__retry__scheduled": True, "holdfast__retry__wait_s": wait, "holdfast__retry__reason": reason}
        return self.attempt(number, start, ms, parent, error=error, text=text, **after, **options)

    def _shared(self):
        return {"holdfast__run__id": RUN, "holdfast__workflow__name": "plan"}


@pytest.fixture
def rows():
    """An empty run."""
    return Rows()


@pytest.fixture
def busy(rows):
    """A run in which everything happens."""
    run = rows.run(2310, holdfast__thread__id="trip-1")
    oslo = rows.task("forecast", 1, 412, run, holdfast__attempt__number=1, holdfast__input='{"city":"Oslo"}')
    rows.add("GET /forecast", 2, 400, oslo)
    lima = rows.task("forecast", 2, 1204, run, holdfast__attempt__count=3, holdfast__input='{"city":"Lima"}')
    where = "weather.py:42 in get"
    rows.retried(1, 2, 21, lima, "httpx.ConnectError", "connection reset by peer", 0.41, "transient", holdfast__error__location=where)
    rows.retried(2, 450, 21, lima, "httpx.HTTPStatusError", "503 Service Unavailable", 0.7, "retry_after")
    rows.attempt(3, 1150, 50, lima)
    rows.task("forecast", 3, 0.012, run, holdfast__cache__result="hit", holdfast__cache__age_s=12.5)
    rows.task("forecast", 4, 0.1, run, holdfast__cache__result="coalesced")
    gone = {"error": "httpx.HTTPStatusError", "text": "404 Not Found", "holdfast__retry__stop_reason": "not_retryable"}
    rows.task("forecast", 5, 31, run, holdfast__attempt__number=1, **gone)
    for n in range(30):
        rows.task("geocode", 1200 + n, 200 + n, run, holdfast__attempt__number=1, holdfast__queue__wait_s=0.11)
    return rows.rows


BUSY = """\
✓  run plan · thread trip-1                                               2.31 s
├─ ✓  forecast("Oslo")                                                    0.41 s
│  └─ ·  GET /forecast                                                    0.40 s
├─ ↻  forecast("Lima") · 3 attempts                                       1.20 s
│  ├─ ✗  attempt 1 · ConnectError: connection reset … (weather.py:42)      21 ms
│  │     ⏳ waited 0.41 s · transient
│  ├─ ✗  attempt 2 · HTTPStatusError: 503 Service Unavailable              21 ms
│  │     ⏳ waited 0.70 s · Retry-After
│  └─ ✓  attempt 3                                                         50 ms
├─ ⚡ forecast · cache hit, 12 s old                                       12 µs
├─ ⚡ forecast · shared with an equal call                                100 µs
├─ ✗  forecast · not_retryable · HTTPStatusError: 404 Not Found            31 ms
├─ ✓  geocode · queued 0.11 s                                             0.20 s
├─ ✓  geocode · queued 0.11 s                                             0.20 s
├─ ✓  geocode · queued 0.11 s                                             0.20 s
└─ … 27 more like this, all ok                                          ≤ 0.23 s

35 calls · 35 attempts · 2 retries · 1 failed · 1 cache hit · 1 shared
waited 1.11 s · time saved unknown: what filled the cache is not in this store
slowest: forecast("Lima") 1.20 s · forecast("Oslo") 0.41 s · geocode 0.23 s"""


def test_an_error_has_the_room_that_its_place_and_arguments_can_spare(rows):
    """Before a message is cut, the place is told in short, and arguments are."""
    more = {
        "holdfast__attempt__number": 1,
        "holdfast__error__location": "orders.py:42 in book",
        "holdfast__input": '{"id":"A-1042","customer":"Zoë"}',
    }
    rows.task("book", 0, 5, rows.run(10), error="builtins.ValueError", text="nothing in stock", **more)

    def line(width):
        return render_run(rows.rows, width=width).splitlines()[1].removesuffix("5.0 ms").rstrip()

    assert '└─ ✗  book("A-1042", "Zoë") · ValueError: nothing in stock (orders.py:42 in book)' == line(99)
    assert '└─ ✗  book("A-1042", ..) · ValueError: nothing in stock (orders.py:42)' == line(85)
    assert '└─ ✗  book("A-1042", ..) · ValueError: nothin… (orders.py:42)' == line(72)


BUSY_ERRORS_ASCII = """\
+  run plan | thread trip-1                                               2.31 s
|- ~  forecast("Lima") | 3 attempts                                       1.20 s
|  |- x  attempt 1 | ConnectError: connection rese... (weather.py:42)      21 ms
|  |     .. waited 0.41 s | transient
|  `- x  attempt 2 | HTTPStatusError: 503 Service Unavailable              21 ms
|        .. waited 0.70 s | Retry-After
`- x  forecast | not_retryable | HTTPStatusError: 404 Not Found            31 ms

35 calls | 35 attempts | 2 retries | 1 failed | 1 cache hit | 1 shared
waited 1.11 s | time saved unknown: what filled the cache is not in this store
slowest: forecast("Lima") 1.20 s | forecast("Oslo") 0.41 s | geocode 0.23 s"""


def test_draws_a_busy_run(busy):
    """Retries with their errors and waits, a hit, a shared call, a failure, many equal calls, and the figures."""
    assert BUSY == render_run(busy)


def test_the_documentation_shows_it():
    """The example in docs/cli.md is what is drawn."""
    assert f"```text\n{BUSY}\n```" in (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_order_of_the_rows_does_not_matter(busy):
    """The store gives them in any order."""
    assert BUSY == render_run(busy[::-1])


def test_draws_only_errors_in_ascii(busy):
    """What failed and the way to it; no sign outside ASCII."""
    text = render_run(busy, errors_only=True, is_ascii=True)

    assert BUSY_ERRORS_ASCII == text
    assert text.isascii()


def test_draws_all_of_it_in_ascii(busy):
    """Every sign has its stand-in, the micro sign, too."""
    text = render_run(busy, expand=True, is_ascii=True)

    assert (True, True) == (text.isascii(), " 12 us\n" in text)


def test_the_slowest_of_many_like_it_in_micros(rows):
    """The line that stands for the others."""
    run = rows.run(1)
    for n in range(30):
        rows.task("hit", n / 100, 0.01 + n / 1e4, run, holdfast__cache__result="hit", holdfast__cache__age_s=1.0)

    (line,) = [line for line in render_run(rows.rows).splitlines() if "more like this, all cache hits" in line]

    assert line.endswith(" ≤ 13 µs")


def test_expands_equal_siblings(busy):
    """Every call is drawn when asked."""
    text = render_run(busy, expand=True)

    assert (30, False) == (text.count("geocode · queued"), "more like this" in text)


def test_draws_bars_where_there_is_room(rows):
    """From 100 columns on a bar shows when each span ran, at least one cell long."""
    run = rows.run(1000)
    rows.task("first", 0, 500, run)
    rows.task("second", 500, 500, run)
    rows.task("blink", 999, 0.1, run)

    bars = [line[-36:-11] for line in render_run(rows.rows, width=100).splitlines()[:4]]
    assert [" " + "━" * 24, " " + "━" * 12 + " " * 12, " " * 13 + "━" * 12, " " * 24 + "━"] == bars


@pytest.mark.parametrize("width", [1, 40, 57, 80, 99, 100, 140])
def test_no_line_is_wider_than_asked(busy, width):
    """In cells of a terminal, where pictures take two; 40 is the least."""
    assert max(width, 40) >= max(cell_len(line) for line in render_run(busy, width=width).splitlines())


def test_durations_stand_in_one_column(rows):
    """Also behind names of letters that are two cells wide."""
    run = rows.run(5)
    rows.task("天気予報" * 12, 1, 2, run)
    rows.task("forecast", 2, 2, run)

    assert {80} == {cell_len(line) for line in render_run(rows.rows).splitlines()[:3]}


def test_colours_change_nothing_but_colours(busy):
    """Without its escape codes the coloured text is the plain one."""
    coloured = render_run(busy, color=True)

    assert BUSY == "\n".join(line.rstrip() for line in ANSI.sub("", coloured).splitlines())
    assert "\x1b[31m" in coloured


def test_strangers_texts_cannot_steer_the_terminal(rows):
    """Control characters, line breaks and bidi marks of names and messages become spaces or are cut."""
    run = rows.run(5)
    rows.task("evil\x1b[2Jname", 1, 2, run, error="x.E", text="boom\x07 \u202eabc\nsecond line", holdfast__input='{"a":"\\u001b[31m"}')
    text = render_run(rows.rows, width=120)

    assert "evil [2Jname" in text
    assert "E: boom   abc" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]|second", text)


def test_a_failed_run_says_why_once(rows):
    """The error stands at the attempt that raised it, not again at every level above."""
    run = rows.run(100)
    rows.rows[0] = SpanRow(TRACE, run, "", "run plan", 0, 10**8, "error", "down", rows.rows[0].attributes | {"error.type": "x.Down"})
    failed = {"error": "x.Down", "text": "down"}
    task = rows.task("fetch", 1, 90, run, holdfast__attempt__count=2, holdfast__retry__stop_reason="max_attempts", **failed)
    rows.retried(1, 1, 10, task, "x.Down", "down", 0.0, "transient", holdfast__retry__policy="RetryPolicy 2 of 3")
    rows.attempt(2, 20, 10, task, **failed)

    assert """\
✗  run plan                                                               0.10 s
└─ ✗  fetch · 2 attempts · max_attempts                                    90 ms
   ├─ ✗  attempt 1 · Down: down                                            10 ms
   │     ⏳ retried at once · transient · RetryPolicy 2 of 3
   └─ ✗  attempt 2 · Down: down                                            10 ms

1 call · 2 attempts · 1 retry · 1 failed""" == render_run(rows.rows)


def test_draws_the_other_fates(rows):
    """Replayed, remembered failure, broken cache, cancelled, abandoned; and misses, of which a cold one is nothing to tell."""
    run = rows.run(100, holdfast__run__resumed=True, holdfast__run__outcome="interrupted")
    rows.task("a", 1, 1, run, holdfast__task__outcome="replayed")
    rows.task("b", 2, 1, run, error="x.Gone", text="gone", holdfast__cache__result="negative", holdfast__cache__age_s=90.0)
    rows.task("c", 3, 1, run, holdfast__cache__result="error", holdfast__attempt__number=1)
    task = rows.task("d", 4, 1, run, error="timeout", text="too late")
    rows.attempt(1, 4, 1, task, error="timeout", text="too late", holdfast__attempt__abandoned=True)
    rows.task("e", 5, 1, run, holdfast__task__outcome="cancelled")
    rows.task("f", 6, 1, run, holdfast__cache__result="miss", holdfast__cache__miss_cause="expired")
    rows.task("g", 7, 1, run, holdfast__cache__result="miss", holdfast__cache__miss_cause="cold")

    assert [
        "■  run plan · resumed · interrupted",
        "├─ ⚡ a · replayed",
        "├─ ✗  b · remembered failure, 1 min old · Gone: gone",
        "├─ ✓  c · cache failed",
        "├─ ✗  d · timeout: too late · abandoned, its thread ran on",
        "├─ ■  e · cancelled",
        "├─ ✓  f · cache miss (expired)",
        "└─ ✓  g",
    ] == [line[:-11].rstrip() for line in render_run(rows.rows, width=91).splitlines()[:8]]


def test_a_single_attempt_is_folded_into_its_task(rows):
    """What happened inside the attempt stands under the task, and the task says where the error was."""
    run = rows.run(30)
    good = rows.task("good", 1, 10, run, holdfast__attempt__count=1)
    rows.add("GET /", 2, 5, rows.attempt(1, 2, 8, good))
    bad = rows.task("bad", 11, 10, run, error="x.Gone", text="gone", holdfast__retry__stop_reason="not_retryable")
    rows.attempt(1, 11, 9, bad, error="x.Gone", text="gone", holdfast__error__location="a.py:7 in f")

    assert """\
✓  run plan                                                                30 ms
├─ ✓  good                                                                 10 ms
│  └─ ·  GET /                                                            5.0 ms
└─ ✗  bad · not_retryable · Gone: gone (a.py:7 in f)                       10 ms

2 calls · 2 attempts · 1 failed""" == render_run(rows.rows)


def test_the_status_of_an_answer_is_what_a_cut_line_keeps(rows):
    """httpx says it behind other words, and adds where to read about it; whose last attempt failed says the reason once."""
    run = rows.run(30)
    text = "Server error '503 Service Unavailable' for url 'http://api.example/forecast?city=Oslo'\nFor more information check: https://x"
    bad = rows.task("bad", 0, 20, run, error="httpx.HTTPStatusError", text=text, holdfast__retry__stop_reason="max_attempts")
    rows.retried(1, 0, 10, bad, "httpx.HTTPStatusError", text, 0.004, "transient")
    rows.attempt(2, 14, 6, bad, error="httpx.HTTPStatusError", text=text, holdfast__retry__stop_reason="max_attempts")

    lines = render_run(rows.rows, width=74).splitlines()

    assert "└─ ✗  bad · max_attempts" == lines[1][:-11].rstrip()
    assert "   ├─ ✗  attempt 1 · HTTPStatusError: 503 Service Unavailable …" == lines[2][:-11].rstrip()
    assert "   └─ ✗  attempt 2 · HTTPStatusError: 503 Service Unavailable …" == lines[4][:-11].rstrip()


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        ('{"city":"Oslo","days":3}', 'a("Oslo", 3)'),
        ('{"city":"Oslo","client":"<httpx.Client>"}', 'a("Oslo")'),
        ('{"client":"<httpx.Client>"}', "a"),
        ("{}", "a"),
        ('{"city":"Os', "a"),
        ('{"text":"' + "x" * 50 + '"}', 'a("' + "x" * 27 + "..)"),
    ],
)
def test_captured_arguments_stand_in_brackets(rows, captured, expected):
    """Values as in a call; objects that only have a name are left out, as is input that was cut to its limit; long ones are cut."""
    rows.task("a", 0, 1, rows.run(2), holdfast__input=captured)

    assert expected == render_run(rows.rows).splitlines()[1][6:-11].rstrip()


def test_a_run_that_was_killed(rows):
    """What did end is drawn below a stand-in that says so."""
    rows.task("forecast", 0, 5, "f" * 16, holdfast__attempt__number=1)

    assert """\
?  run plan · no end recorded: still running, or killed                   5.0 ms
└─ ✓  forecast                                                            5.0 ms

1 call · 1 attempt""" == render_run(rows.rows)


def test_draws_the_retries_of_a_body(rows):
    """Attempts of an entrypoint stand directly under the run, their calls inside them."""
    run = rows.run(30, holdfast__attempt__count=2)
    first = rows.retried(1, 0, 10, run, "x.Flake", "flaked", 0.004, "transient")
    rows.task("fetch", 1, 2, first, holdfast__attempt__number=1)
    rows.attempt(2, 14, 10, run)

    assert """\
↻  run plan · 2 attempts                                                   30 ms
├─ ✗  attempt 1 · Flake: flaked                                            10 ms
│  └─ ✓  fetch                                                            2.0 ms
│     ⏳ waited 4.0 ms · transient
└─ ✓  attempt 2                                                            10 ms

1 call · 3 attempts · 1 retry · waited 4.0 ms""" == render_run(rows.rows)


def test_says_what_the_hits_saved(rows):
    """From the durations of the first computations, as far as they are known."""
    run = rows.run(10)
    for n in range(3):
        origin = {"holdfast__cache__origin__trace_id": "b" * 32, "holdfast__cache__origin__span_id": f"{n:016x}"}
        rows.task("forecast", n, 0.1, run, holdfast__cache__result="hit", **origin)
    keys = [("b" * 32, f"{n:016x}") for n in range(3)]

    assert (
        "3 calls · 0 attempts · 3 cache hits · saved 6.00 s" == render_run(rows.rows, durations=dict.fromkeys(keys, 2.0)).splitlines()[-1]
    )
    assert "saved ≥ 2.00 s (unknown for 2 of the hits)" in render_run(rows.rows, durations={keys[0]: 2.0})


def test_a_group_of_equal_siblings_is_told_by_its_fate(rows):
    """Failed calls, hits and retried calls have groups of their own, also when they are mixed; four are not worth a group."""
    run = rows.run(100)
    for n in range(6):
        rows.task("a", n, 1, run, error="x.E", text=f"failed {n}")
        rows.task("a", n, 1, run, holdfast__cache__result="hit", holdfast__cache__age_s=n)
        task = rows.task("a", n, 1, run, holdfast__attempt__count=2)
        rows.retried(1, n, 0.1, task, "x.E", "e", 0.1, "transient")
        rows.attempt(2, n, 0.1, task)
    for n in range(4):
        rows.task("four", 50 + n, 1, run)

    text = render_run(rows.rows)
    assert ["all failed", "all cache hits", "all ok after 2 attempts"] == re.findall(r"… 3 more like this, (.*?) +≤", text)
    assert 4 == text.count("four")


def test_only_one_run_of_a_trace(rows):
    """The run that was asked for, whatever else happened in its trace."""
    web = rows.add("GET /plan", 0, 99)
    rows.add("run plan", 1, 2, web, holdfast__span__type="run", holdfast__run__id="one", holdfast__workflow__name="plan")
    rows.add("run other", 3, 2, web, holdfast__span__type="run", holdfast__run__id="two", holdfast__workflow__name="other")

    assert (
        "✓  run other                                                              2.0 ms"
        == render_run(rows.rows, run_id="two").splitlines()[0]
    )
    assert "·  GET /plan" in render_run(rows.rows)


def test_nothing_failed(rows):
    """A run without errors has no tree of errors."""
    rows.run(5)

    assert "nothing failed\n\n0 calls · 0 attempts" == render_run(rows.rows, errors_only=True)


def test_no_rows_no_text():
    """There is nothing to draw."""
    assert "" == render_run([])


def test_deep_trees_keep_their_durations(rows):
    """The indent stops growing where it would push the names out."""
    parent = rows.run(100)
    for _ in range(60):
        parent = rows.add("inner", 1, 9, parent)
    lines = render_run(rows.rows).splitlines()

    assert all(line.endswith("9.0 ms") and "inner" in line for line in lines[1:61])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 µs"),
        (0.0000121, "12 µs"),
        (0.00012, "120 µs"),
        (0.000999, "999 µs"),
        (0.0009999, "1.0 ms"),
        (0.00154, "1.5 ms"),
        (0.00999, "10.0 ms"),
        (0.0412, "41 ms"),
        (0.0999, "100 ms"),
        (0.412, "0.41 s"),
        (9.99, "9.99 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_took(seconds, expected):
    """Durations have few digits and one unit, or two above a minute."""
    assert expected == took(seconds)


def test_took_without_unicode():
    """A terminal that cannot print the micro sign gets a letter."""
    assert "12 us" == took(0.000012, ASCII)


@pytest.mark.parametrize(("seconds", "expected"), [(-1, "0 s"), (12.5, "12 s"), (90, "1 min"), (7200, "2 h"), (200_000, "2 d")])
def test_age(seconds, expected):
    """Ages are whole numbers of their largest unit; clocks that differ give no negative ones."""
    assert expected == age(seconds)


@pytest.mark.parametrize(("number", "noun", "expected"), [(1, "retry", "1 retry"), (2, "retry", "2 retries"), (0, "call", "0 calls")])
def test_count(number, noun, expected):
    """Plurals."""
    assert expected == count(number, noun)


@pytest.mark.parametrize(("text", "expected"), [("", ""), (" \n ", ""), ("one\ntwo", "one"), ("\ta\tb", "a b")])
def test_plain(text, expected):
    """The first line, printable."""
    assert expected == plain(text)


RUNNING = """\
►  run plan · running                                                     12.0 s
├─ ✓  quick                                                               1.0 ms
└─ ►  hang · running                                                      11.0 s

2 calls · 0 attempts · 1 under way"""

KILLED = """\
?  run plan · no sign of life for 2 h: killed, or stopped                 9.00 s
├─ ✓  quick                                                               1.0 ms
└─ ?  hang · no end recorded                                              8.00 s

2 calls · 0 attempts · 1 under way"""

UNKNOWN = """\
?  run plan · no end recorded: still running, or killed                   9.00 s
├─ ✓  quick                                                               1.0 ms
└─ ?  hang · no end recorded                                              8.00 s

2 calls · 0 attempts · 1 under way"""


@pytest.mark.parametrize(("seconds", "expected"), [(12, RUNNING), (9 + 7200, KILLED), (0, UNKNOWN)])
def test_draws_what_is_under_way(rows, seconds, expected):
    """With the time by now while the run gives signs of life; the call, told of once, was last seen when its run was."""
    run = rows.run(9000)
    rows.task("quick", 0, 1, run)
    rows.task("hang", 1000, 1000, run)
    known = [msgspec.structs.replace(row, is_open=row.name != "quick") for row in rows.rows]

    assert expected == render_run(known, now_ns=seconds * 10**9)
    assert expected == render_run(known[::-1], now_ns=seconds * 10**9)


def test_many_calls_under_way_are_one_line(rows):
    """As others are."""
    run = rows.run(9000)
    for _ in range(9):
        rows.task("hang", 1000, 1000, run)
    known = [msgspec.structs.replace(row, is_open=True) for row in rows.rows]

    assert "… 6 more like this, all under way" in render_run(known, now_ns=10 * 10**9)
