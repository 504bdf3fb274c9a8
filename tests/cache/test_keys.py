"""KeyMaker: which calls share a key, which do not, and what it says when there is none."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cache.keys import LONGEST_RECENT, MOST_RECENT, KeyMaker
from holdfast.errors import KeyFuncError, NotKeyable, PolicyError
from holdfast.policies.cache import CachePolicy
from holdfast.values.binding import compile_binder


def maker(fn, *, skip=frozenset(), **policy):
    """The key maker of ``fn`` under a policy."""
    return KeyMaker(fn, compile_binder(fn), CachePolicy(**policy), skip=skip)


def keys_of(fn, **policy):
    """A function that makes the digest of a call."""
    made = maker(fn, **policy)
    return lambda *args, **kwargs: made.make(args, kwargs).digest


def fetch(city, days=3, *more, unit="C", **options):
    """A function with every kind of parameter."""


def test_ways_of_writing_a_call_share_a_key():
    """What counts is what is bound."""
    key = keys_of(fetch)

    assert 1 == len({key("Oslo"), key("Oslo", 3), key(city="Oslo"), key("Oslo", days=3), key("Oslo", unit="C"), key(days=3, city="Oslo")})


def test_different_calls_have_different_keys():
    """Values, types, and the parameter a value goes to all count."""
    key = keys_of(fetch)
    calls = [
        key("Oslo"),
        key("oslo"),
        key(b"Oslo"),
        key("Oslo", 3.0),
        key("Oslo", True),
        key("Oslo", 1),
        key("Oslo", 3, 1),
        key("Oslo", x=1),
    ]
    calls += [
        key("Oslo", x=None),
        key("Oslo", y=1),
        key("Oslo", unit=1),
        key("Oslo", more=1),
        key(("Oslo",)),
        key(["Oslo"]),
        key("Oslo", None),
    ]

    assert len(calls) == len(set(calls))


def test_parameters_of_other_names_make_other_keys():
    """Renaming a parameter may change what a value means."""

    def by_city(city): ...

    def by_country(country): ...

    assert keys_of(by_city)("Oslo") != keys_of(by_country)("Oslo")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


def shape(value):
    """An independent notion of sameness: value and type all through, the order of a dict's entries aside."""
    if isinstance(value, dict):
        return dict, frozenset((key, shape(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(shape, value))
    return type(value), repr(value)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_keys_are_equal_exactly_when_arguments_are(left, right):
    """For arbitrary nested arguments: no wrong hit, no missed hit."""

    def f(*args): ...

    key = keys_of(f)
    assert (shape(tuple(left)) == shape(tuple(right))) == (key(*left) == key(*right))


def test_digest_has_16_bytes():
    """As the stores expect."""
    assert 16 == len(keys_of(fetch)("Oslo"))


def test_namespace_is_module_name_and_code():
    """A version takes the place of the code."""
    assert f"{__name__}.fetch@7" == maker(fetch, version=7).namespace
    assert maker(fetch).namespace.startswith(f"{__name__}.fetch@")
    assert 16 == len(maker(fetch).namespace.rpartition("@")[2])


def test_changed_code_changes_the_namespace():
    """An edited function never meets entries of the old one, unless its version is pinned."""

    def old():
        return 1

    def new():
        return 2

    old.__qualname__ = new.__qualname__ = "f"

    assert maker(old).namespace != maker(new).namespace
    assert maker(old, version="1").namespace == maker(new, version="1").namespace


def test_a_script_is_named_by_its_path(tmp_path):
    """Two scripts whose functions have one name do not share entries."""
    script = tmp_path / "app.py"
    script.write_text(
        "from holdfast.cache.keys import KeyMaker\n"
        "from holdfast.policies.cache import CachePolicy\n"
        "from holdfast.values.binding import compile_binder\n"
        "def f(): ...\n"
        "print(KeyMaker(f, compile_binder(f), CachePolicy(version=1)).namespace)\n"
    )

    assert f"{script}.f@1" == subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.strip()


def test_keys_are_the_same_under_every_hash_seed(tmp_path):
    """Sets, dicts and the code's fingerprint do not depend on how the process hashes."""
    code = (
        "from holdfast.cache.keys import KeyMaker\n"
        "from holdfast.policies.cache import CachePolicy\n"
        "from holdfast.values.binding import compile_binder\n"
        "def f(a, b=frozenset('xyz')): return a in {'p', 'q', 'r'}\n"
        "print(KeyMaker(f, compile_binder(f), CachePolicy()).make(({'k1', 'k2', 'k3'},), {}))\n"
    )
    script = tmp_path / "keys.py"
    script.write_text(code)
    made = {
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2", "3")
    }

    assert 1 == len(made)


def test_ignored_parameters_do_not_count():
    """They may be anything, unkeyable things included."""
    key = keys_of(fetch, ignore=("days", "options"))

    assert key("Oslo", 1, client=object()) == key("Oslo", 2)
    assert key("Oslo") != key("Lima")


def test_injected_parameters_do_not_count():
    """What the runtime fills is no argument of the call."""

    def f(city, writer=None): ...

    made = maker(f, skip=frozenset({"writer"}))

    assert made.make(("Oslo",), {}) == made.make(("Oslo", object()), {})


def test_ignoring_what_is_no_parameter_is_refused():
    """A typing error would otherwise make keys that never match; the text names the parameters there are."""
    with pytest.raises(
        PolicyError,
        match=r"\('clinet',\) names no parameter of .*fetch \(.*test_keys.py:\d+\): its parameters are city, days, more, unit, options",
    ):
        maker(fetch, ignore=("clinet",))


def test_an_unkeyable_argument_is_named():
    """The text tells the task, the path to the part, and the ways out."""
    with pytest.raises(NotKeyable, match=rf"{__name__}.fetch \(.*test_keys.py:\d+\): .*days\['client'\].*ignore=.*key_func=") as caught:
        keys_of(fetch)("Oslo", {"client": object()})

    assert "days['client']" == caught.value.where


def test_wrong_arguments_are_the_callers_type_error():
    """As calling the function would be."""
    with pytest.raises(TypeError, match=r"fetch\(\) missing 1 required positional argument: 'city'"):
        keys_of(fetch)()


def test_key_func_makes_the_key():
    """It gets the arguments as they were given, and its result is keyed by type and value."""
    key = keys_of(fetch, key_func=lambda city, **_: city.lower())

    assert key("Oslo", days=1) == key("OSLO", days=2)
    assert key("Oslo") != key("Lima")
    assert 3 == len({keys_of(fetch, key_func=lambda *_, it=it: it)("Oslo") for it in ("1", b"1", 1)})


def test_a_key_func_never_collides_with_bound_arguments():
    """Keys of a function before and after it got a key_func have nothing to do with each other."""

    def f(a): ...

    assert keys_of(f, key_func=lambda a: ("a",), version=1)("x") != keys_of(f, version=1)(("a",))


def test_a_key_func_that_raises_can_be_told_apart():
    """The runtime computes without the cache; the cause is there for the note."""
    with pytest.raises(KeyFuncError, match=r"key_func of .*fetch \(.*\) raised ZeroDivisionError: division by zero") as caught:
        keys_of(fetch, key_func=lambda *_: 1 / 0)("Oslo")

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def not_awaited():
    pass


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (object, "its answer is an object: no stable cache key can be made from it"),
        (lambda: {"client": object()}, r"its answer\['client'\] is an object: no stable cache key can be made from it"),
        (not_awaited, "its answer is a coroutine: no stable cache key can be made from it"),
        (lambda: None, "answered None, and all such calls would share one entry"),
    ],
)
def test_an_answer_of_key_func_that_cannot_be_a_key_is_named(answer, text):
    """The user's own function is what to mend, and the text says how."""
    with pytest.raises(KeyFuncError, match=rf"key_func of .*fetch \(.*\):? {text}.* Return what tells calls apart: text"):
        keys_of(fetch, key_func=lambda *_: answer())("Oslo")


def test_what_key_func_answered_stays_open():
    """A client that cannot be a key is the user's own, and in use."""

    class Client:
        is_closed = False

        def __init__(self):
            self.lock = threading.Lock()

        def close(self):
            self.is_closed = True

    client = Client()
    with pytest.raises(KeyFuncError, match="its answer"):
        keys_of(fetch, key_func=lambda *_: client)("Oslo")

    assert not client.is_closed


@dataclass
class Api:
    """An object with state that counts."""

    base: str

    def get(self, path): ...

    def __call__(self, path): ...


def test_bound_methods_of_equal_objects_share_a_key():
    """The object counts like an argument, and as it is when the call is made."""
    here, there = Api("x"), Api("x")
    key = keys_of(here.get, version=1)
    first = key("p")

    assert first == keys_of(there.get, version=1)("p")
    here.base = "y"
    assert first != key("p")


def test_callable_objects_count_as_they_are():
    """An instance with ``__call__`` brings its state along."""
    assert keys_of(Api("x"), version=1)("p") != keys_of(Api("y"), version=1)("p")
    assert f"{__name__}.Api@1" == maker(Api("x"), version=1).namespace


def test_partials_count_with_what_they_hold():
    """Positional and keyword arguments given beforehand are arguments."""
    partials = [functools.partial(fetch, "Oslo"), functools.partial(fetch, "Lima"), functools.partial(fetch, "Oslo", unit="F")]

    assert 3 == len({keys_of(partial, version=1)() for partial in partials})
    assert f"{__name__}.fetch@1" == maker(partials[0], version=1).namespace


def test_self_can_be_ignored():
    """For objects that are only a way to reach a service, whether a method of theirs is called or they themselves."""
    assert keys_of(Api("x").get, version=1, ignore=("self",))("p") == keys_of(Api("y").get, version=1, ignore=("self",))("p")
    assert keys_of(Api("x"), version=1, ignore=("self",))("p") == keys_of(Api("y"), version=1, ignore=("self",))("p")


def test_an_unkeyable_object_of_a_method_is_named_self():
    """The way out is shown with the name that works."""

    class Client:
        __slots__ = ("__weakref__", "lock")

        def get(self): ...

    client = Client()
    client.lock = __import__("threading").Lock()
    with pytest.raises(NotKeyable, match=r'self.*ignore=\("self",\)'):
        keys_of(client.get, version=1)()


def test_explanation_shows_every_part():
    """A table: task, code, each parameter with its text and digest, what does not count, and the key."""
    made = maker(fetch, version=2, ignore=("more",), skip=frozenset({"options"}))
    key = made.make(("Oslo",), {})
    lines = str(made.explain(("Oslo",), {})).splitlines()

    assert ["task", f"{__name__}.fetch"] == lines[0].split()
    assert ["code", "2", "version", "of", "the", "policy"] == lines[1].split()
    assert ["city", "'Oslo'"] == lines[2].split()[:2]
    assert ["days", "3"] == lines[3].split()[:2]
    assert ["unit", "'C'"] == lines[4].split()[:2]
    assert [16, 16, 16] == [len(line.split()[-1]) for line in lines[2:5]]
    assert ["more", "ignored"] == lines[5].split()
    assert ["options", "filled", "by", "the", "runtime"] == lines[6].split()
    assert ["namespace", key.namespace] == lines[7].split()
    assert ["digest", key.digest.hex()] == lines[8].split()


def test_explanation_of_a_key_func_shows_what_it_returned():
    """Parameters have no say then."""

    def by_city(city):
        return city.lower()

    (part,) = maker(fetch, key_func=by_city).explain(("Oslo",), {}).parts

    assert (f"{__name__}.test_explanation_of_a_key_func_shows_what_it_returned.<locals>.by_city(...)", "'oslo'") == part[:2]


def test_long_values_are_cut_in_explanations():
    """The digest tells apart what looks alike."""
    made = maker(fetch)
    left, right = made.explain(("x" * 500 + "a" + "x" * 500,), {}), made.explain(("x" * 500 + "b" + "x" * 500,), {})

    assert len(left.parts[0].text) <= 60
    assert left.parts[0].text == right.parts[0].text
    assert left.parts[0].digest != right.parts[0].digest
    assert f"city: {left.parts[0].text} ({left.parts[0].digest}) / {right.parts[0].text} ({right.parts[0].digest})" == left.diff(right)


def test_a_number_that_python_does_not_write_out_is_explained():
    """It is a key like any other, so its explanation is no error."""
    texts = [maker(fetch).explain((value,), {}).parts[0].text for value in (10**5000, [10**5000])]

    assert ["<int, too long to be shown>", "[<int, too long to be shown>]"] == texts


def test_diff_names_what_differs():
    """And nothing else; the same key has no difference."""
    made = maker(fetch, version=1)
    other = maker(fetch, version=2, ignore=("unit",))

    assert "" == made.explain(("Oslo",), {}).diff(made.explain(("Oslo", 3), {}))
    assert "days: 3 / 3.0" == made.explain(("Oslo",), {}).diff(made.explain(("Oslo", 3.0), {}))
    assert "code: 1 / 2\nunit: 'C' / does not count" == made.explain(("Oslo",), {}).diff(other.explain(("Oslo",), {}))


def test_explaining_raises_what_making_raises():
    """There is no explanation of a key that cannot be made."""
    with pytest.raises(NotKeyable, match="city"):
        maker(fetch).explain((object(),), {})


def test_a_key_is_the_same_whether_it_was_made_before_or_not():
    """Keys made lately are kept; that shows in nothing."""
    used = maker(fetch)
    calls = [(number,) for number in range(2 * MOST_RECENT)]
    first = [used.make(call, {}) for call in calls]

    assert first == [maker(fetch).make(call, {}) for call in calls]
    assert first[::-1] == [used.make(call, {}) for call in calls[::-1]]


def test_keys_kept_are_few_and_of_small_arguments():
    """However many calls a task has, and however large its arguments are, it keeps little."""
    made = maker(fetch)
    for number in range(3 * MOST_RECENT):
        made.make((number,), {})
        made.make(("x" * LONGEST_RECENT, number), {})

    assert 0 < len(made._recent) <= MOST_RECENT
    assert LONGEST_RECENT >= max(map(len, made._recent))


def test_as_many_keys_are_kept_as_the_limits_say():
    """The last that fits is kept; with the next, the table begins anew."""
    made = maker(fetch)
    for number in range(MOST_RECENT):
        made.make((number,), {})
    assert MOST_RECENT == len(made._recent)
    made.make(("one more",), {})
    assert 1 == len(made._recent)

    for length in range(LONGEST_RECENT // 2, LONGEST_RECENT + 1):
        made.make(("x" * length,), {})
    assert LONGEST_RECENT == max(map(len, made._recent))


def test_a_name_that_is_no_unicode_makes_a_namespace():
    """A script's path may hold any bytes, which Python shows as lone surrogates; stores keep namespaces as UTF-8."""

    def f(): ...

    f.__qualname__ = "caf\udce9.f"

    assert f"{__name__}.caf\\udce9.f@1" == maker(f, version=1).namespace


def test_arguments_that_do_not_fit_never_reach_key_func():
    """The error is that of calling the function, not one of the key function's."""
    made = maker(lambda city: city, key_func=lambda *_: pytest.fail("called"))

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'city'"):
        made.make((), {})


def test_what_counts_changes_nothing_else():
    """A call that passes what the runtime would fill has keys of the same code, although what that captures has changed meanwhile."""
    unit = "C"

    def f(city, writer=None):
        return unit

    made = maker(f, skip=frozenset({"writer"}))
    before = made.namespace
    unit = "F"
    counting = made.counting(frozenset({"writer"}))

    assert before == made.namespace == counting.namespace
    assert counting.make(("Oslo", 1), {}) != counting.make(("Oslo", 2), {})
    assert made.make(("Oslo", 1), {}) == made.make(("Oslo", 2), {})
