"""tune: from evidence to a recommendation that keeps to what was asked, and says why, why not, and what could be wrong."""

from __future__ import annotations

import gzip
import json
import random
import re
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser

import pytest

import holdfast
from holdfast import CachePolicy, DiskCache, resilient
from holdfast.errors import PolicyError, StoreError, TraceError
from holdfast.tuning import Access, Counters, Facts, Point, Prices, Recording, Sighting, Sightings, Trace, tune
from holdfast.tuning._rule import Rule
from holdfast.tuning.question import Question, candidates
from tests.tuning.sources import world

HOUR, DAY = 3600.0, 86400.0
FACTS = Facts(gets=10_000, keys=500, span=10 * DAY, looks=2_000, changed=400, probes=300, stale_probes=30, volatile_interval=None)


def recorded(**how):
    """A simulated source behind a cache with a TTL of two minutes, with what a cache saw of it; and the truth."""
    made = world(**how)
    counters = Counters(gets=len(made.accesses), fills=len(made.seen), refreshes=0, probes=0, errors=0, seconds=0.0, bytes=0)
    return Recording("app.weather", made.trace, made.sightings, counters, 120.0, rate=1), made


def point(ttl, calls, upper, **others):
    """A point at which ``upper`` is all there is to staleness."""
    shares = {"stale": upper * 0.9, "low": upper * 0.8, "high": upper * 0.95, "upper": upper, "certain": 0.0, "possible": min(1, 3 * upper)}
    figures = {
        "hits_low": 0.5,
        "hits_high": 0.5,
        "waits": 0.5,
        "blocking": 0.1,
        "age_p95": ttl,
        "oldest": ttl,
        "cost": None,
        "grade": "A",
        "is_near": True,
    }
    return Point(ttl=ttl, hits=1 - calls / FACTS.gets, calls=calls, calls_per_day=calls / 10, **(shares | figures | others))


CURVE = [
    point(0.5 * HOUR, 4_000, 0.01),
    point(0.75 * HOUR, 3_000, 0.02),
    point(HOUR, 2_000, 0.04),
    point(1.5 * HOUR, 1_950, 0.06),
    point(2 * HOUR, 1_900, 0.08),
]


def advised(curve=CURVE, facts=FACTS, live=HOUR, **asked):
    """The recommendation, and the verdicts by TTL in hours."""
    points, advice = Rule(curve, live, Question.asked(asked.get("stale_budget"), asked.get("prices"), asked.get("max_age")), facts).decide()
    return advice, {each.ttl / HOUR: each.verdict for each in points}


def test_it_takes_the_shortest_of_those_that_save_nearly_as_much():
    """Two hours would be allowed, and save hardly a call more than one."""
    advice, verdicts = advised(stale_budget=0.1)

    assert (HOUR, "keep", "A") == (advice.ttl, advice.move, advice.grade)
    assert {0.5: "", 0.75: "", 1.0: "recommended, live", 1.5: "", 2.0: ""} == verdicts
    assert "at most 4% of answers stale (97.5 % bound), within the budget of 10%" in advice.why[0]


def test_the_budget_has_to_be_kept_by_the_upper_quantile():
    """Not by the estimate alone, and probes that would settle it are counted."""
    advice, verdicts = advised(stale_budget=0.038)

    assert (0.75 * HOUR, "lower") == (advice.ttl, advice.move)
    assert ("live, maybe over budget", "over budget") == (verdicts[1.0], verdicts[1.5])
    assert any("more probes could settle it" in line for line in advice.why_not)


def test_a_hard_bound_may_keep_the_budget_where_the_estimate_does_not():
    """What is certain counts, however unsure the estimate."""
    curve = [replace(each, possible=0.03) if each.ttl == HOUR else each for each in CURVE]

    assert HOUR == advised(curve, stale_budget=0.035)[0].ttl


@pytest.mark.parametrize("grade", ["B", "C"])
def test_without_enough_probes_a_ttl_is_not_raised(grade):
    """Unless the hard bound is within the budget: what was never seen at work may be staler than it looks."""
    curve = [replace(each, grade=grade, calls=each.calls + (500 if each.ttl <= HOUR else 0)) for each in CURVE]
    few = replace(FACTS, probes=100)
    advice, verdicts = advised(curve, few, stale_budget=0.07)
    bold, _ = advised([replace(each, possible=min(each.possible, 0.05)) for each in curve], few, stale_budget=0.07)

    assert (HOUR, "keep") == (advice.ttl, advice.move)
    assert "needs probes" == verdicts[1.5]
    assert any("150 probes more would tell: 7.7% more calls over a time like this" in line for line in advice.why_not)
    assert (1.5 * HOUR, "raise") == (bold.ttl, bold.move)


def test_prices_choose_the_cheapest_that_is_allowed():
    """Among those within the budget; dearer ones are told with their price."""
    curve = [replace(each, cost=cost) for each, cost in zip(CURVE, (5, 4, 3, 2, 1), strict=True)]
    advice, _ = advised(curve, stale_budget=0.07, prices={"call": 1})

    assert (1.5 * HOUR, "raise") == (advice.ttl, advice.move)
    assert "the cheapest of those allowed, at 2 a day" in advice.why[0]
    assert "1h, the live one: it costs 3 a day" in advice.why_not


def test_only_days_are_scaled_to_a_day():
    """Minutes of traffic are not said to be so many calls a day: calls and costs are those of the time that was recorded."""
    day = Trace([Access("Oslo", 60.0 * minute) for minute in range(2 * 24 * 60 + 1)])
    (whole, short) = (
        tune(trace, live_ttl="5m", prices={"call": 2})
        for trace in (day, Trace([Access("Oslo", 60.0 * minute) for minute in range(24 * 60)]))
    )
    (of_day,), (of_hours,) = ([point for point in report.curve if point.ttl == 300] for report in (whole, short))

    assert (2.0, None) == (whole.facts.days, short.facts.days)
    assert (577, 288.5, 577.0) == (of_day.calls, of_day.calls_per_day, of_day.cost)
    assert (288, None, 576.0) == (of_hours.calls, of_hours.calls_per_day, of_hours.cost)
    assert all(f"<th>{name}/day</th>" in whole.to_html() for name in ("calls", "cost"))
    assert "/day" not in short.to_html()
    assert ("<td>577</td>" in whole.to_html(), "<td>576</td>" in short.to_html()) == (True, True)
    assert "<th>cost" not in tune(day, live_ttl="5m").to_html()
    assert "2d, 2,881 gets, 1 key, 0 calls seen" in whole.to_html()
    assert "Calls are those of the 24h recorded: too short to say how many a day" in short.to_html()
    assert "a day" in whole.recommendation.why[0]
    assert "at 288 in 24h" in short.recommendation.why[0]


def test_an_age_alone_needs_no_evidence_of_staleness():
    """Whoever says how old an answer may be has said all that is needed."""
    blind = [replace(each, stale=None, low=None, high=None, upper=None, grade="D") for each in CURVE]
    advice, verdicts = advised(blind, replace(FACTS, probes=0, changed=0), max_age="90m", prices=None)

    assert (HOUR, "keep", "D") == (advice.ttl, advice.move, advice.grade)
    assert "older than max_age" == verdicts[2.0]
    assert "how often the source changes was never seen: of staleness, only ages and hard bounds are known" in advice.what_could_be_wrong


def test_when_nothing_keeps_to_the_budget_it_says_so():
    """With the shortest one looked at, whether it is a step there, and what helps instead."""
    advice, verdicts = advised(stale_budget=0.001)

    assert (None, "none") == (advice.ttl, advice.move)
    assert "the shortest, 30m, has up to 1% of answers stale. It is a step there: take it and measure again" in advice.why[0]
    assert "invalidate entries when the source is written" in advice.why[1]
    assert {"over budget", "live, over budget"} == set(verdicts.values())


def test_what_the_policy_does_not_allow_is_not_recommended():
    """An override beyond its ttl_range would be refused."""
    narrow = replace(FACTS, least_ttl=0.75 * HOUR, most_ttl=HOUR)
    advice, verdicts = advised(facts=narrow, stale_budget=0.015)
    loose, _ = advised(facts=narrow, stale_budget=0.5)

    assert (None, "outside ttl_range", "outside ttl_range") == (advice.ttl, verdicts[0.5], verdicts[1.5])
    assert "the shortest, 30m, is outside ttl_range" in advised(facts=replace(FACTS, least_ttl=4 * HOUR), stale_budget=0.5)[0].why[0]
    assert "the shortest allowed, " in advice.why[0]
    assert "1h30m: the policy of the code does not allow it: see its ttl_range" in loose.why_not
    assert HOUR == loose.ttl


def test_a_recording_knows_what_its_policy_allows(tmp_path, monkeypatch, clock):
    """Of a real function in a real cache."""
    monkeypatch.setenv("HOLDFAST_RECORD", "on")
    chance = random.Random(2)
    with closing(DiskCache(tmp_path)) as cache:

        @resilient(retry_policy=(), cache_policy=CachePolicy(ttl="2m", ttl_range=("90s", "3m")), cache=cache)
        def fetch(number: int) -> int:
            return number

        for _ in range(300):
            fetch(chance.randrange(5))
            clock.advance(chance.expovariate(1 / 4))
        cache.witness.look()
    report = tune(tmp_path, max_age="1h")

    assert (90.0, 180.0, 120.0) == (report.facts.least_ttl, report.facts.most_ttl, report.live_ttl)
    assert {60.0: "outside ttl_range", 240.0: "outside ttl_range"} == {
        each.ttl: each.verdict for each in report.curve if not 90 <= each.ttl <= 180
    }


def test_what_is_further_than_twice_is_shown_and_not_taken():
    """Where it was tried, figures were wrong that far away."""
    curve = [*CURVE, point(4 * HOUR, 500, 0.09, is_near=False)]
    advice, verdicts = advised(curve, stale_budget=0.5)

    assert HOUR == advice.ttl
    assert "extrapolated" == verdicts[4.0]
    assert "4h: more than a factor of 2 from the live one: go step by step, and measure again" in advice.why_not


@pytest.mark.parametrize(("calls", "is_told"), [(None, False), (1_900, False), (2_500, False), (2_700, True)])
def test_entries_that_do_not_live_for_the_ttl_are_told_of(calls, is_told):
    """More calls were made than the live TTL takes, which are 2,000: what is replayed is not what was."""
    doubts = advised(facts=replace(FACTS, calls=calls), stale_budget=0.1)[0].what_could_be_wrong

    assert is_told == any("2,700 calls were made, where entries that live for 1h take 2,000" in line for line in doubts)


@pytest.mark.parametrize(
    ("asked", "is_told"),
    [
        ({"prices": {"call": 1}}, True),
        ({"prices": {"call": 1, "latency": 1}}, True),
        ({"prices": {"call": 1, "stale": 1}}, False),
        ({"prices": {"call": 1}, "stale_budget": 0.1}, False),
        ({"prices": {"call": 1}, "max_age": "2h"}, False),
        ({"max_age": "2h"}, False),
    ],
)
def test_prices_that_leave_out_staleness_are_warned_of(asked, is_told):
    """By them alone the longest TTL is always the cheapest."""
    curve = [replace(each, cost=float(each.calls)) for each in CURVE]
    advice, _ = advised(curve, **asked)

    assert is_told == any("a stale answer was given no price" in line for line in advice.what_could_be_wrong)
    assert is_told <= (advice.ttl == 2 * HOUR)


def test_fingerprints_that_always_differ_forbid_a_budget_and_not_an_age():
    """They tell nothing of the source; an age needs nothing of it."""
    volatile = replace(FACTS, volatile_interval=90.0)

    assert "the fingerprint is no signal of staleness" in advised(facts=volatile, stale_budget=0.1)[0].why[0]
    assert "even 1.5m after the one before" in advised(facts=volatile, prices={"stale": 1})[0].why[0]
    assert HOUR == advised(facts=volatile, max_age="1h")[0].ttl


@pytest.mark.parametrize(
    ("facts", "missing"),
    [
        (replace(FACTS, gets=80), "record 120 more gets (there are 80)"),
        (replace(FACTS, span=HOUR), "record for 3h longer (it is 1h so far)"),
        (replace(FACTS, gets=199, span=3.5 * HOUR), "record 1 more gets (there are 199) and for 30m longer (it is 3.5h so far)"),
    ],
)
def test_a_trace_too_short_says_how_much_more_is_needed(facts, missing):
    """Two hundred gets, and four live TTLs."""
    advice, _ = advised(facts=facts, stale_budget=0.5)

    assert (None, "none") == (advice.ttl, advice.move)
    assert missing in advice.why[0]


def test_a_source_that_is_not_there_is_named(tmp_path):
    """With what may be given; it stays an OSError."""
    with pytest.raises(StoreError, match=r"there is no .*nowhere: give the folder of a DiskCache, or a file of accesses"):
        tune(tmp_path / "nowhere", stale_budget=0.1)


def test_nothing_asked_is_nothing_recommended():
    """It says what can be asked."""
    assert "say what share of answers may be stale (stale_budget), name prices, or a max_age" in advised()[0].why[0]


def test_without_a_live_ttl_nothing_is_recommended():
    """A move is judged from there."""
    assert "give live_ttl" in advised(live=None, stale_budget=0.5)[0].why[0]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("budget", [0.05, 0.12, 0.3])
def test_what_is_recommended_keeps_the_budget_in_truth(seed, budget):
    """The source is simulated, so the share of stale answers that the recommended TTL would really have given is known."""
    evidence, made = recorded(keys=100, traffic=1 / 30, probes=0.04, span=15_000, seed=seed)
    report = tune(evidence, stale_budget=budget)
    ttl = report.recommendation.ttl

    assert "A" == report.recommendation.grade
    assert (ttl is None) or made.stale(ttl) <= budget
    assert ttl is not None or made.stale(60) > 0.9 * budget


def test_each_figure_of_the_curve_is_that_of_the_trace():
    """Hits, calls, waits, costs: no second arithmetic."""
    evidence, made = recorded(keys=30)
    report = tune(evidence, prices=Prices(call=0.01, latency=0.1, stale=1))
    (live,) = [each for each in report.curve if each.ttl == 120]
    (outcome,), (stale,), (behind,) = (
        made.trace.hits([120]),
        made.trace.stale([120], made.sightings, live_ttl=120),
        made.trace.swr(120, [240]),
    )
    cost = outcome.calls * 0.01 + outcome.calls * 0.1 + stale.stale * outcome.gets

    assert (outcome.hit_ratio, outcome.calls, None) == (live.hits, live.calls, live.calls_per_day)  # of 3 hours
    assert (stale.stale, stale.low, stale.high, stale.upper, stale.age_p95) == (live.stale, live.low, live.high, live.upper, live.age_p95)
    assert (behind.blocking / behind.gets, pytest.approx(cost)) == (live.blocking, live.cost)
    assert (len(made.trace), 30, len(made.seen)) == (report.facts.gets, report.facts.keys, report.facts.looks)
    assert [60.0, 90.0, 120.0, 180.0, 240.0] == [each.ttl for each in report.curve]


def test_a_tiny_trace_has_no_figure_without_a_grade_and_none_better_than_d():
    """Whatever it shows."""
    made = world(keys=3, span=300)
    report = tune(made.trace, sightings=made.sightings, live_ttl=120, stale_budget=0.5)

    assert {"D"} == {each.grade for each in report.curve} | {report.recommendation.grade}
    assert "there is too little to go by" in report.recommendation.why[0]


def test_an_empty_trace_says_how_much_is_needed():
    """Not a number in sight."""
    with pytest.raises(TraceError, match="holds no accesses: record 200 gets or more, over at least four times the live TTL"):
        tune(Trace(), live_ttl=60)


def test_one_access_is_a_trace():
    """Of which nothing can be said."""
    assert None is tune(Trace([Access("a", 5)]), live_ttl=60, max_age=60).recommendation.ttl


def test_volatile_fingerprints_are_diagnosed_end_to_end():
    """Every value differs from the one before."""
    chance, made = random.Random(1), world(keys=20, span=6_000)
    seen = Sightings([each._replace(fingerprint=chance.randrange(1, 1 << 63)) for each in made.seen])

    assert "the fingerprint is no signal of staleness" in tune(made.trace, sightings=seen, live_ttl=120, stale_budget=0.5).explain()


def test_a_trace_tells_of_its_own_calls(tmp_path):
    """Accesses with a time of computing and a fingerprint are sightings; so one file is enough."""
    made = world(keys=30)
    seen = {(each.key, each.time): each.fingerprint for each in made.seen}
    accesses = [each._replace(compute=0.0, fingerprint=seen[each[:2]]) if each[:2] in seen else each for each in made.accesses]
    path, other = tmp_path / "all.csv", tmp_path / "seen.csv"
    Trace(accesses).to_csv(path)
    made.sightings.to_csv(other)

    alone, beside = tune(path, live_ttl="2m", stale_budget=0.2), tune(made.trace, sightings=other, live_ttl="2m", stale_budget=0.2)

    assert [each.stale for each in alone.curve] == [each.stale for each in beside.curve]
    assert "B" == alone.recommendation.grade


def test_each_kind_of_file_is_told_by_its_content(tmp_path):
    """CSV, JSON lines, oracleGeneral, packed or not; the name does not matter."""
    made = Trace([Access(7, 1.0, size=10), Access(7, 2.0, size=10)])
    csv, lines, oracle, packed = (tmp_path / name for name in ("a", "b", "c", "d"))
    made.to_csv(csv)
    lines.write_text('{"key": 7, "t_s": 1}\n{"key": 7, "t_s": 2}\n')
    made.to_oracle_general(oracle)
    packed.write_bytes(gzip.compress(csv.read_bytes()))

    assert [(2, 1.0)] * 4 == [
        (report.facts.gets, report.facts.span) for report in (tune(path, live_ttl=1) for path in (csv, lines, oracle, packed))
    ]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"stale_budget": 1.5}, "stale_budget=1.5 is not a share of answers from 0 to 1"),
        ({"stale_budget": -0.1}, "stale_budget=-0.1 is not a share"),
        ({"stale_budget": True}, "stale_budget=True is not a share"),
        ({"stale_budget": float("nan")}, "stale_budget=nan is not a share"),
        ({"prices": {"calls": 1}}, "there is no price 'calls': those there are: call, latency, stale"),
        ({"prices": {"call": -1}}, "price call=-1 is not a number from 0 on"),
        ({"prices": {}}, "prices of nothing decide nothing"),
        ({"max_age": 0}, "max_age=0 is no time at all"),
        ({"live_ttl": "soon"}, "live_ttl='soon' is not a duration"),
        ({"reach": 0.5}, "reach=0.5 is not a factor from 1 on"),
    ],
)
def test_what_cannot_be_asked_is_refused(asked, why):
    """With the value."""
    with pytest.raises(PolicyError, match=why):
        tune(Trace([Access("a", 0)]), **asked)


def test_candidates_are_what_people_write():
    """Around the live one, itself among them, whatever it is."""
    assert [1800.0, 2400.0, 2700.0, 3600.0, 5400.0, 7200.0] == candidates(3600.0, 2)
    assert [45.0, 60.0, 77.0, 90.0, 120.0] == candidates(77.0, 2)
    assert [1.0, 1.5, 2.0, 3.0, 4.0] == candidates(2.0, 2)
    assert [0.25, 0.3, 0.4, 0.5, 0.75, 1.0] == candidates(0.5, 2)
    assert [0.01] == candidates(0.01, 2)
    assert [2700.0, 3600.0, 4000.0, 5400.0, 7200.0] == candidates(3600.0, 2, (4000.0, 9000.0))[2:]


def test_reach_widens_what_is_shown():
    """Not what is recommended."""
    evidence, _ = recorded(keys=30)
    report = tune(evidence, stale_budget=1.0, reach=8)

    assert (15.0, 900.0) == (report.curve[0].ttl, report.curve[-1].ttl)
    assert {"extrapolated"} == {each.verdict for each in report.curve if not each.is_near}


def test_without_a_live_ttl_the_whole_range_is_shown():
    """At most ten TTLs, from the trace itself."""
    report = tune(world(keys=30).trace)

    assert 3 <= len(report.curve) <= 10
    assert None is report.live_ttl
    assert report.to_html()


def test_a_report_is_plain_data_for_programs():
    """All of it, with the names of the attributes."""
    evidence, _ = recorded(keys=30, probes=0.05)
    report = tune(evidence, stale_budget=0.3)
    told = json.loads(json.dumps(report.to_dict()))

    assert ("app.weather", 120.0, 0.3) == (told["task"], told["live_ttl"], told["question"]["stale_budget"])
    assert report.recommendation.ttl == told["recommendation"]["ttl"]
    assert [each.stale for each in report.curve] == [each["stale"] for each in told["curve"]]


def test_the_explanation_says_all_in_lines():
    """What to do, why, why not, what could be wrong."""
    evidence, _ = recorded(keys=30, probes=0.05)
    report = tune(evidence, stale_budget=0.15)
    first, *lines = report.explain().splitlines()

    assert first.startswith("app.weather: ")
    assert first.endswith("(evidence A)")
    assert {"why", "why not", "what could be wrong"} == {line.partition(":")[0] for line in lines}


class Page(HTMLParser):
    """Checks that each element ends where it should, and collects texts."""

    ALONE = frozenset({"meta"})

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Opens one; those that stand alone do not count."""
        self.addresses += [value for name, value in attrs if name in {"href", "src", "xlink:href"}]
        self.open += [] if tag in self.ALONE else [tag]

    def handle_startendtag(self, tag, attrs):
        """Opens and closes."""

    def handle_endtag(self, tag):
        """Closes the last one opened."""
        assert tag == self.open.pop()

    def handle_data(self, data):
        """Between two tags."""
        self.texts.append(data.strip())


def test_the_page_needs_nothing_else_and_says_everything():
    """Well-formed, no address anywhere, each TTL to be read off in both charts, names of strangers escaped."""
    made = world(keys=30, probes=0.05)
    report = tune(made.trace, sightings=made.sightings, live_ttl=120, task="<script>alert(1)</script>", stale_budget=0.15)
    text = report.to_html()
    page = Page(text)

    assert ([], []) == (page.open, page.addresses)
    assert "<script" not in text
    assert "http" not in text
    assert 2 * len(report.curve) == text.count('class="column"')
    assert {"live", "recommended", "budget 15%"} <= set(page.texts)
    assert set(report.recommendation.what_could_be_wrong) <= set(page.texts)


def test_a_page_of_what_is_hardly_known_is_a_page():
    """One TTL, nothing stale known, no hit."""
    text = tune(Trace([Access("a", 0), Access("b", 1)]), live_ttl=0.2, max_age=1).to_html()

    assert [] == Page(text).open
    assert "nothing known" in text


def test_what_is_read_off_fits_its_box():
    """Whatever font a browser has; and no chart is made too small to be read."""
    text = tune(world(keys=30).trace).to_html()
    boxes = re.findall(
        r'<rect class="box" x="([0-9.]+)" y="2" width="([0-9.]+)".*?<text class="read" x="([0-9.]+)" y="17" textLength="([0-9.]+)"', text
    )

    assert 2 * len(tune(world(keys=30).trace).curve) == len(boxes)
    for box in boxes:
        left, width, start, length = map(float, box)
        assert 0 <= left < start < start + length < left + width <= 760
    assert 2 == text.count('<div class="wide"><svg')


def test_tune_is_at_the_top():
    """Loaded on first use."""
    assert tune is holdfast.tune


def test_a_sighting_before_and_after_the_trace_is_no_trouble():
    """Recordings do not begin and end together."""
    made = world(keys=10, span=3_000)
    far = [
        Sighting(1, -1e6, fingerprint=5),
        Sighting(1, 1e7, fingerprint=6),
        Sighting(99, 5, fingerprint=1),
        Sighting(99, 6e6, fingerprint=2),
    ]
    report = tune(made.trace, sightings=Sightings([*made.seen, *far]), live_ttl=120, stale_budget=0.5)

    assert all(each.certain <= each.stale <= each.possible for each in report.curve)


def test_a_sample_of_the_keys_is_set_right_by_what_was_counted():
    """Half the keys, with twice the gets in the counters: figures of all, and as many of 100 hits are stale."""
    made = world(keys=120)
    whole, _ = recorded(keys=120)
    kept = {key for key in made.changes if key % 2}
    counters = replace(whole.counters, fills=len(made.seen))
    trace = Trace([each for each in made.accesses if each.key in kept])
    sample = Recording("weather", trace, Sightings([each for each in made.seen if each.key in kept]), counters, 120.0, rate=0.5)
    expected, found = tune(whole, stale_budget=0.2), tune(sample, stale_budget=0.2)

    assert (expected.facts.gets, 120, 0.5) == (found.facts.gets, found.facts.keys, found.facts.rate)
    assert f"about 120 keys, of which 1 in 2 was kept, {found.facts.looks:,} calls of these seen (" in found.to_html()
    assert f" 120 keys, {expected.facts.looks:,} calls seen (" in expected.to_html()
    for one, other in zip(expected.curve, found.curve, strict=True):
        assert pytest.approx(one.hits, abs=0.01) == other.hits
        assert pytest.approx(one.calls, rel=0.05) == other.calls
        assert pytest.approx(one.stale, abs=0.03) == other.stale
        assert other.hits_low <= other.hits <= other.hits_high
