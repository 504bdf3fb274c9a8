"""An option that is not there: one TypeError in the user's own line, with the option that was meant."""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback

import pytest

from holdfast import (
    CachePolicy,
    DiskCache,
    InMemoryCache,
    Probe,
    RetryPolicy,
    TimeoutPolicy,
    Tune,
    _options,
    entrypoint,
    resilient,
    task,
    tracing,
)
from holdfast._frames import trims

SETTINGS = "name, retry_policy, cache_policy, timeout, deadline, capture, kind"


@resilient(cache_policy=CachePolicy(ttl="1h"))
def cached() -> None:
    """A function whose `options` is one of ours that stands in another function."""


def refused(make, *args, **options):
    """The TypeError that this raises, and the files of its frames."""
    with pytest.raises(TypeError) as caught:
        make(*args, **options)
    return str(caught.value), [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)][1:]


@pytest.mark.parametrize(
    ("make", "wrong", "text"),
    [
        (RetryPolicy, "max_atempts", "RetryPolicy has no option 'max_atempts': did you mean 'max_attempts'?"),
        (RetryPolicy, "backoff", "RetryPolicy has no option 'backoff': did you mean 'backoff_factor'?"),
        (RetryPolicy, "retries", "RetryPolicy has no option 'retries': did you mean 'max_attempts', which counts the first attempt, too?"),
        (RetryPolicy, "tries", "RetryPolicy has no option 'tries': did you mean 'max_attempts'?"),
        (RetryPolicy, "delay", "RetryPolicy has no option 'delay': did you mean 'initial_interval'?"),
        (RetryPolicy, "max_delay", "RetryPolicy has no option 'max_delay': did you mean 'max_interval'?"),
        (RetryPolicy, "exceptions", "RetryPolicy has no option 'exceptions': did you mean 'retry_on'?"),
        (RetryPolicy, "timeout", "RetryPolicy has no option 'timeout': did you mean 'deadline'?"),
        (CachePolicy, "timeout", "CachePolicy has no option 'timeout': did you mean 'ttl'?"),
        (CachePolicy, "ttl_seconds", "CachePolicy has no option 'ttl_seconds': did you mean 'ttl'?"),
        (CachePolicy, "key", "CachePolicy has no option 'key': did you mean 'key_func'?"),
        (DiskCache, "maxsize", "DiskCache has no option 'maxsize': did you mean 'size_limit'?"),
        (InMemoryCache, "maxsize", "InMemoryCache has no option 'maxsize': did you mean 'max_entries'?"),
        (CachePolicy, "tll", "CachePolicy has no option 'tll': did you mean 'ttl'?"),
        (TimeoutPolicy, "run_timout", "TimeoutPolicy has no option 'run_timout': did you mean 'run_timeout'?"),
        (task, "retry_polcy", "task has no option 'retry_polcy': did you mean 'retry_policy'?"),
        (task, "retry", "task has no option 'retry': did you mean 'retry_policy'?"),
        (
            task,
            "cache",
            "task has no option 'cache': did you mean 'cache_policy'? Where its results are kept is the run's: write @entrypoint(cache=...)",
        ),
        (task(print).options, "time_out", "Task.options has no option 'time_out': did you mean 'timeout'?"),
        (resilient, "dead_line", "resilient has no option 'dead_line': did you mean 'deadline'?"),
        (entrypoint, "checkpoint", "entrypoint has no option 'checkpoint': did you mean 'checkpointer'?"),
        (tracing.configure, "end_point", "configure has no option 'end_point': did you mean 'endpoint'?"),
        (DiskCache, "sizelimit", "DiskCache has no option 'sizelimit': did you mean 'size_limit'?"),
        (InMemoryCache, "entries", "InMemoryCache has no option 'entries': did you mean 'max_entries'?"),
        (
            TimeoutPolicy,
            "idle_timeout",
            "TimeoutPolicy has no option 'idle_timeout': an attempt is limited as a whole: write TimeoutPolicy(run_timeout=...)",
        ),
        (TimeoutPolicy, "seconds", "TimeoutPolicy has no option 'seconds': it takes run_timeout"),
        (task, "max_attempts", "task has no option 'max_attempts': write retry_policy=RetryPolicy(max_attempts=...)"),
        (entrypoint, "delay", "entrypoint has no option 'delay': write retry_policy=RetryPolicy(initial_interval=...)"),
        (resilient, "expire", "resilient has no option 'expire': write cache_policy=CachePolicy(ttl=...)"),
        (resilient, "retries", "resilient has no option 'retries': did you mean 'retry_policy'?"),
        (task, "wait", f"task has no option 'wait': it takes {SETTINGS}, delivery"),
        (entrypoint(print).invoke, "durability", "Entrypoint.invoke has no option 'durability': write @entrypoint(durability=...)"),
        (entrypoint(print).invoke, "stream_mode", "Entrypoint.invoke has no option 'stream_mode': write stream(..., stream_mode=...)"),
        (entrypoint(print).invoke, "thread", "Entrypoint.invoke has no option 'thread': did you mean 'thread_id'?"),
        (entrypoint(print).stream, "stream_modes", "Entrypoint.stream has no option 'stream_modes': did you mean 'stream_mode'?"),
        (entrypoint(print).astream, "durability", "Entrypoint.astream has no option 'durability': write @entrypoint(durability=...)"),
        (entrypoint(print).batch, "configs", "Entrypoint.batch has no option 'configs': did you mean 'config'?"),
        (
            entrypoint(print).get_state,
            "checkpoint_id",
            "Entrypoint.get_state has no option 'checkpoint_id': write config={'configurable': {'thread_id': ..., 'checkpoint_id': ...}}",
        ),
        (
            entrypoint(print).invoke,
            "version",
            "Entrypoint.invoke has no option 'version': it takes input, config, thread_id, context, run_id, wait",
        ),
        (Tune, "budget", "Tune has no option 'budget': did you mean 'stale_budget'?"),
        (Probe, "rate", "Probe has no option 'rate': it takes share, max_per_hour"),
        (
            task,
            "checkpointer",
            "task has no option 'checkpointer': what a task has done is kept by its run: write @entrypoint(checkpointer=...)",
        ),
        (cached.options, "cach", "cached.options has no option 'cach': did you mean 'cache'?"),
        (resilient, "fn", f"resilient has no option 'fn': it takes {SETTINGS}, cache"),
    ],
)
def test_an_unknown_option_is_named_with_the_one_that_is_meant(make, wrong, text):
    """Or, when none is like it, with all there are; the last line of the traceback is the user's."""
    assert (text, []) == refused(make, **{wrong: 1})


@pytest.mark.parametrize("method", ["ainvoke", "abatch", "aget_state", "aupdate_state", "aresolve"])
def test_a_coroutine_names_it_too(method):
    """When it is awaited; the method is a coroutine function still, which frameworks look at."""
    function = getattr(entrypoint(print), method)
    said, frames = refused(lambda: asyncio.run(function(durability="sync")))

    assert f"Entrypoint.{method} has no option 'durability': write @entrypoint(durability=...)" == said
    assert not [name for name in frames if "holdfast/_" in name]
    assert inspect.iscoroutinefunction(function)


def test_the_first_unknown_option_is_named_among_known_ones():
    """Those that exist do not hide it."""
    said, _ = refused(task, name="x", wait=3, tries=2)

    assert f"task has no option 'wait': it takes {SETTINGS}, delivery" == said


def test_every_other_name_leads_to_an_option_there_is():
    """The table of other libraries' names holds no option that is gone, and no name that is ours."""
    makes = (RetryPolicy, CachePolicy, task, DiskCache, InMemoryCache)
    ours = {name for make in makes for name in inspect.signature(make).parameters}
    inside = {name for names in _options._POLICIES.values() for name in names}

    assert set() == (set(_options._OTHER_NAMES) | inside) - ours


def test_what_belongs_to_the_decorator_is_there():
    """The table of what stands elsewhere sends nobody to an option that is gone."""
    places = (*_options._ELSEWHERE.values(), *_options._OF_RUNS.values())
    sent = [re.search(r"@entrypoint\((\w+)=", place) for place in places]

    assert set() == {each[1] for each in sent if each} - set(inspect.signature(entrypoint).parameters)


@pytest.mark.parametrize(
    ("make", "args", "text"),
    [
        (
            RetryPolicy,
            (3,),
            "write RetryPolicy(max_attempts=3), or say which other it is: initial_interval, backoff_factor, max_interval, ",
        ),
        (CachePolicy, ("1h",), "write CachePolicy(ttl='1h'), or say which other it is: key_func, ignore, "),
        (task(print).options, ("other",), "write Task.options(name='other'), or say which other it is: retry_policy, "),
    ],
)
def test_a_value_without_a_name_is_guessed_to_be_the_first_option(make, args, text):
    """LangGraph's order would make of the 3 an interval, and nobody would see it."""
    said, frames = refused(make, *args)

    assert ("takes options by name, not by position: " + text in said, []) == (True, frames)


def test_of_a_single_option_no_others_are_named():
    """The list of the others was empty, and the sentence had no end."""
    said, _ = refused(task(cache_policy=CachePolicy())(cached).purge, 7)

    assert "Task.purge takes options by name, not by position: write Task.purge(cache=7)" == said


@pytest.mark.parametrize("made", [cached, task(cache_policy=CachePolicy())(lambda city: city)], ids=["resilient", "task"])
def test_who_purges_one_call_is_led_to_forget(made):
    """As ``cache_clear`` of others takes arguments."""
    said, _ = refused(made.purge, "Oslo")

    assert re.fullmatch(r"[\w<>.]+.purge forgets the results of all calls: for those of one call write [\w<>.]+.forget\(...\)", said)


@pytest.mark.parametrize(
    ("make", "args", "text"),
    [
        (RetryPolicy, (0.5, 2.0), "RetryPolicy takes options by name, not by position: max_attempts, initial_interval, backoff_factor, "),
        (task, (print, RetryPolicy()), f"task takes options by name, not by position: {SETTINGS}"),
        (
            tracing.configure,
            ("otlp", "http://jaeger:4318"),
            "configure takes options by name, not by position: endpoint, protocol, project, ",
        ),
        (entrypoint(print).batch, ([1], None, True), "Entrypoint.batch takes options by name, not by position: return_exceptions"),
    ],
)
def test_of_several_values_nothing_is_guessed(make, args, text):
    """All options that go by name are listed."""
    said, frames = refused(make, *args)

    assert (text, []) == (said[: len(text)], frames)


def test_a_long_value_is_shown_in_part():
    """The error text stays one line."""
    said, _ = refused(RetryPolicy, "x" * 1000)

    assert len(said) < 400


def test_what_python_says_well_stays_as_it_is():
    """A missing argument: Python names it, and no frame of ours is left."""
    said, frames = refused(TimeoutPolicy)

    assert ("missing 1 required positional argument: 'run_timeout'" in said, []) == (True, frames)


def test_a_type_error_from_inside_keeps_its_text_and_the_users_frames():
    """Only what Python refused before anything ran is worded anew."""

    @trims
    def choose(*, city):
        raise TypeError(f"mine: {city}")

    assert ("mine: Oslo", [__file__]) == refused(choose, city="Oslo")


def test_arguments_of_the_users_own_function_are_not_options():
    """`Task.key` takes whatever the function takes."""
    cached = task(cache_policy=CachePolicy(ttl=60))(lambda city: city)

    assert "town" in refused(cached.key, town="Oslo")[0]


@pytest.mark.parametrize("make", [task, resilient, entrypoint, tracing.configure, RetryPolicy, CachePolicy, DiskCache])
def test_signatures_stay_what_they_are(make):
    """An editor shows the options, not ``*args, **kwargs``."""
    kinds = {each.kind for each in inspect.signature(make).parameters.values()}

    assert set() == kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
