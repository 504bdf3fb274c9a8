"""Binding gives what `inspect.Signature.bind` gives, and Python's own errors."""

from __future__ import annotations

import functools
import inspect

import pytest

from holdfast.values.binding import compile_binder


def plain(a, b=2):
    return a, b


def everything(a, b, /, c, d=4, *args, e, f=6, **kwargs):
    return a, b, c, d, args, e, f, kwargs


def keyword_only(*, a, b=2):
    return a, b


def positional_only(a, b=2, /):
    return a, b


def awkward(bind, self=1, *names, scope=2, **kwargs):
    return bind, self, names, scope, kwargs


async def coroutine(a, b=2):
    return a, b


class Thing:
    def method(self, a, b=2):
        return a, b

    @classmethod
    def made(cls, a, b=2):
        return a, b

    def __call__(self, a, b=2):
        return a, b


FUNCTIONS = [
    plain,
    everything,
    keyword_only,
    positional_only,
    awkward,
    coroutine,
    Thing.method,
    Thing().method,
    Thing.made,
    Thing(),
    functools.partial(plain, b=5),
    functools.partial(plain, 1),
    lambda: None,
    lambda *args, **kwargs: None,
]
CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, 3), {"e": 5}),
    ((1, 2, 3, 4, 5, 6), {"e": 5, "z": 9}),
    ((), {"a": 1}),
    ((1,), {"b": 3}),
    ((), {"b": 3, "a": 1}),
    ((1, 2), {"c": 3, "e": 5}),
    ((1,), {"a": 1}),
    ((1,), {"nobody": 1}),
    ((1, 2, 3, 4), {}),
]


@pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: getattr(fn, "__qualname__", type(fn).__name__))
def test_binds_as_inspect_does(fn):
    """For every shape of signature and call: the same values, defaults filled, or a TypeError in both."""
    binder = compile_binder(fn)
    signature = inspect.signature(fn)
    for args, kwargs in CALLS:
        try:
            expected = signature.bind(*args, **kwargs)
        except TypeError:
            with pytest.raises(TypeError):
                binder.bind(*args, **kwargs)
            continue
        expected.apply_defaults()
        assert tuple(expected.arguments.values()) == binder.bind(*args, **kwargs)
        assert tuple(expected.arguments) == binder.names


def test_refuses_a_positional_only_parameter_by_its_name():
    """As the call itself does; `inspect` in Python 3.13.0 takes it."""
    for bind in (everything, compile_binder(everything).bind):
        with pytest.raises(TypeError, match=r"missing 2 required positional arguments: 'a' and 'b'"):
            bind(a=1, b=2, c=3, e=5)


@pytest.mark.parametrize("fn", [plain, everything, keyword_only, Thing.method])
def test_errors_are_python_s_own(fn):
    """A wrong call reads as if the function itself had been called."""
    with pytest.raises(TypeError) as ours:
        compile_binder(fn).bind(nobody=1)
    with pytest.raises(TypeError) as pythons:
        fn(nobody=1)

    assert str(pythons.value) == str(ours.value)


def test_wraps_shows_the_signature_of_the_wrapped():
    """A decorated function binds by the parameters it shows."""

    @functools.wraps(plain)
    def wrapper(*args, **kwargs):
        return plain(*args, **kwargs)

    assert ("a", "b") == compile_binder(wrapper).names
    assert (1, 2) == compile_binder(wrapper).bind(1)


@pytest.mark.parametrize("builtin", [dict, max, print])
def test_builtins_bind_to_something(builtin):
    """A builtin with or without a signature never fails to compile."""
    binder = compile_binder(builtin)

    assert len(binder.names) == len(binder.bind(*[(1, 2)] if builtin is not dict else []))


def test_a_builtin_without_signature_binds_args_and_kwargs():
    """Nothing is known of its parameters, so none is named."""
    binder = compile_binder(max)

    assert ("args", "kwargs") == binder.names
    assert ((1, 2), {"key": None}) == binder.bind(1, 2, key=None)


def test_a_parameter_named_by_a_keyword_binds_args_and_kwargs():
    """Builtins may have such a name, as nobody can pass it by name; no function in Python can be compiled with it."""

    def copy(*args):
        return args

    copy.__signature__ = inspect.Signature([inspect.Parameter("from", inspect.Parameter.POSITIONAL_ONLY)])
    binder = compile_binder(copy)

    assert ("args", "kwargs") == binder.names
    assert ((1,), {}) == binder.bind(1)


def test_a_wrong_call_of_an_object_is_named_by_its_class():
    """It has no name of its own."""
    with pytest.raises(TypeError, match=r"^Thing\(\) got an unexpected keyword argument 'nobody'$"):
        compile_binder(Thing()).bind(nobody=1)


def test_defaults_are_the_function_s_own_objects():
    """A default is handed on as it is, not copied."""
    marker = object()

    def fn(a=marker, *, b=marker):
        return a, b

    first, second = compile_binder(fn).bind()
    assert first is marker
    assert second is marker
