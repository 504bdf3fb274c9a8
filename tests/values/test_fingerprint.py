"""Fingerprints change with the code, and with nothing else."""

from __future__ import annotations

import functools
import operator
import string

import pytest

from holdfast.values.fingerprint import code_fingerprint, fingerprint


def compiled(source, name="f", filename="a.py"):
    """The function that ``source`` defines."""
    scope: dict = {}
    exec(compile(source, filename, "exec"), scope)
    return scope[name]


BASE = "def f(city, days=3, *, units='metric'):\n    total = city * 2\n    return total, units, 3.5\n"

SAME = {
    "again": BASE,
    "other lines": "\n\n\n" + BASE,
    "comments and blank lines": "def f(city, days=3, *, units='metric'):\n    # why\n\n    total = city * 2\n\n    return total, units, 3.5\n",
    "docstring": BASE.replace("\n", "\n    '''What it does.'''\n", 1),
    "local name": BASE.replace("total", "double"),
    "annotations": BASE.replace("city,", "city: str,"),
}

OTHER = {
    "constant": BASE.replace("2", "3"),
    "constant type": BASE.replace("city * 2", "city * 2.0"),
    "operator": BASE.replace("city * 2", "city + 2"),
    "default": BASE.replace("days=3", "days=4"),
    "keyword default": BASE.replace("'metric'", "'imperial'"),
    "parameter name": BASE.replace("days", "nights"),
    "keyword-only": BASE.replace("*, ", ""),
    "global name": BASE.replace("city * 2", "str(city)"),
    "async": "async " + BASE,
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_count(name):
    """Place, comments, docstrings, local names and annotations are not code."""
    assert fingerprint(compiled(BASE)) == fingerprint(compiled(SAME[name], filename=f"{name}.py"))


@pytest.mark.parametrize("name", OTHER)
def test_what_counts(name):
    """Constants with their types, operations, names, defaults and the kind of function are code."""
    assert fingerprint(compiled(BASE)) != fingerprint(compiled(OTHER[name]))


def test_is_16_hex_digits():
    """It stands in cache namespaces, so its form is fixed."""
    text = fingerprint(compiled(BASE))

    assert 16 == len(text)
    assert set(text) <= set(string.hexdigits.lower())


def test_nested_code_counts():
    """A change within an inner function is a change."""
    source = "def f():\n    def inner():\n        '''Doc.'''\n        return {}\n    return inner\n"

    assert fingerprint(compiled(source.format(1))) != fingerprint(compiled(source.format(2)))
    assert fingerprint(compiled(source.format(1))) == fingerprint(compiled(source.format(1).replace("'''Doc.'''", "'''Other.'''")))


def test_order_of_set_constants_does_not_count():
    """A set in the source is a frozenset constant, whose order changes with the hash seed."""
    source = "def f(x):\n    return x in {%s}\n"

    assert fingerprint(compiled(source % "'a', 'b', 'c'")) == fingerprint(compiled(source % "'c', 'b', 'a'"))


def test_minus_zero_is_not_zero():
    """Equal constants of other meaning are told apart."""
    assert fingerprint(compiled("def f(x=0.0): return x")) != fingerprint(compiled("def f(x=-0.0): return x"))


def test_many_constants():
    """Constants beyond the 256th, which take a second instruction to load, count too."""
    source = "def f():\n    return [{}, {}]\n"
    numbers = ", ".join(f"{n}.5 + x" for n in range(300))

    left = compiled("x = 1\n" + source.format(numbers, "1.25 + x"))
    right = compiled("x = 1\n" + source.format(numbers, "1.75 + x"))
    assert fingerprint(left) != fingerprint(right)


def closure(value):
    """A function that carries ``value``."""

    def f():
        return value

    return f


def test_closure_cells_count():
    """What a function carries is part of what it does."""
    assert fingerprint(closure(1)) == fingerprint(closure(1))
    assert fingerprint(closure(1)) != fingerprint(closure(2))


def test_unkeyable_cells_count_by_identity():
    """Two functions over two clients are two functions; a third over the first client is the first."""
    one, two = Client(), Client()
    assert fingerprint(closure(one)) == fingerprint(closure(one))
    assert fingerprint(closure(one)) != fingerprint(closure(two))
    assert fingerprint(closure(one)) != fingerprint(closure(iter([])))


def test_unkeyable_cells_are_named():
    """So that the user can be told why no other process finds the values."""
    private = []
    fingerprint(closure(Client()), private)
    fingerprint(closure(1), private)
    assert ["value (tests.values.test_fingerprint.Client)"] == private


def test_objects_of_captured_methods_count_by_identity():
    """A bound method in a closure carries its object along."""
    one, two = Client(), Client()
    assert fingerprint(closure(one.get)) == fingerprint(closure(one.get))
    assert fingerprint(closure(one.get)) != fingerprint(closure(two.get))
    assert fingerprint(closure(functools.partial(one.get, 1))) != fingerprint(closure(functools.partial(two.get, 1)))


def test_objects_that_count_as_arguments_count_by_type():
    """Of a method itself, of a partial, and of defaults: each call looks at them anyway."""
    one, two = Client(), Client()
    assert fingerprint(one.get) == fingerprint(two.get)
    assert fingerprint(functools.partial(print, one)) == fingerprint(functools.partial(print, two))
    assert fingerprint(functools.partial(one.get, 1)) == fingerprint(functools.partial(two.get, 1))


def test_a_later_object_is_not_taken_for_one_that_is_gone():
    """Though it may get the same address."""
    seen = {fingerprint(closure(Client())) for _ in range(50)}
    assert 50 == len(seen)


class Client:
    """Has no content."""

    __slots__ = ("__weakref__",)

    def get(self, number=0):
        return number


def test_functions_in_cells_count_by_code():
    """A wrapped function is opened, not named."""
    assert fingerprint(closure(lambda: 1)) == fingerprint(closure(lambda: 1))
    assert fingerprint(closure(lambda: 1)) != fingerprint(closure(lambda: 2))


def test_empty_cells_are_all_right():
    """A variable that is bound later does not stop a fingerprint."""

    def outer():
        def early():
            return late

        text = fingerprint(early)
        late = 1
        return text, late

    assert 16 == len(outer()[0])


def wrapping(fn):
    """A decorator as people write them."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def test_decorated_functions_count_with_what_they_wrap():
    """A decorator neither hides the function nor is hidden by it."""
    one, two = compiled("def f(): return 1"), compiled("def f(): return 2")

    assert fingerprint(wrapping(one)) == fingerprint(wrapping(compiled("def f(): return 1")))
    assert fingerprint(wrapping(one)) != fingerprint(wrapping(two))
    assert fingerprint(wrapping(one)) != fingerprint(one)
    assert fingerprint(functools.lru_cache(one)) != fingerprint(functools.lru_cache(two))


def test_long_chains_of_decorators():
    """A thousand wrappers are no matter of depth."""
    one, two = compiled("def f(): return 1"), compiled("def f(): return 2")
    for _ in range(1000):
        one, two = wrapping(one), wrapping(two)

    assert fingerprint(one) != fingerprint(two)


def test_calling_a_function_does_not_change_it():
    """The interpreter rewrites bytecode while it runs; that does not show."""
    f = compiled(BASE)
    before = fingerprint(f)
    for _ in range(100):
        f("a")

    assert before == fingerprint(f)


class Greeter:
    def __init__(self, greeting):
        self.greeting = greeting

    def __call__(self, name):
        return self.greeting + name

    def __holdfast_key__(self):
        return self.greeting

    def greet(self, name):
        return self.greeting + name

    @staticmethod
    def wave():
        return "o/"


def test_methods_and_callable_objects():
    """The object counts as well as the code."""
    assert fingerprint(Greeter("a").greet) == fingerprint(Greeter("a").greet)
    assert fingerprint(Greeter("a").greet) != fingerprint(Greeter("b").greet)
    assert fingerprint(Greeter("a")) == fingerprint(Greeter("a"))
    assert fingerprint(Greeter("a")) != fingerprint(Greeter("b"))
    assert fingerprint(Greeter.__dict__["wave"]) != fingerprint(Greeter.greet)


def test_partials_count_with_their_arguments():
    """Two partials of one function differ by what they fix."""
    f = compiled(BASE)

    assert fingerprint(functools.partial(f, days=1)) == fingerprint(functools.partial(f, days=1))
    assert fingerprint(functools.partial(f, days=1)) != fingerprint(functools.partial(f, days=2))
    assert fingerprint(functools.partial(f, 1)) != fingerprint(functools.partial(f, days=1))


def test_builtins_and_classes_count_by_name():
    """What has no Python code is told apart by its qualified name."""
    assert 4 == len({fingerprint(each) for each in (len, repr, int, str.upper)})


@pytest.mark.parametrize(
    ("thing", "expected"),
    [(int, "283540a1f962fdcb"), (operator.itemgetter("x"), "b5205347fa1e3dc2")],
)
def test_fingerprints_stay_what_they_are(thing, expected):
    """They stand in namespaces: another form would make every entry a miss; of what has bytecode, Python's version has a say."""
    assert expected == fingerprint(thing)


class Wrapper:
    """Has no content itself, and says what it wraps."""

    __slots__ = ("__weakref__", "__wrapped__")

    def __init__(self, fn):
        self.__wrapped__ = fn

    def __call__(self): ...


def test_objects_that_wrap_a_function_count_by_its_code():
    """A decorator's object needs no identity when its function tells it apart, and so its values are not private to a process."""
    private = []
    one, again, other = (fingerprint(closure(Wrapper(fn)), private) for fn in (lambda: 1, lambda: 1, lambda: 2))

    assert one == again != other
    assert [] == private


def test_fingerprints_of_code_leave_values_out():
    """Of what a function carries only the types count, and the code of functions."""
    assert code_fingerprint(closure(1)) == code_fingerprint(closure(2)) != code_fingerprint(closure("1"))
    assert code_fingerprint(closure(lambda: 1)) == code_fingerprint(closure(lambda: 1)) != code_fingerprint(closure(lambda: 2))
    assert code_fingerprint(compiled(BASE)) == code_fingerprint(compiled(OTHER["default"])) != code_fingerprint(compiled(OTHER["operator"]))


def test_fingerprints_of_code_stay_what_they_are():
    """They stand in journals, beside each step: another form would say that all code has changed."""
    assert "283540a1f962fdcb" == code_fingerprint(int)
