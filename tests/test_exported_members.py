"""The public names: what ``__all__`` promises is there, and nothing public is there without being promised."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import holdfast

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(holdfast.__path__, "holdfast.")
    if not any(part.startswith("_") for part in info.name.split(".")) and info.name != "holdfast.policies.tenacity"
)

# The names the documentation promises; adding one is a decision, removing one breaks users.
PROMISED = {
    "CachePolicy",
    "DiskCache",
    "InMemoryCache",
    "InMemorySaver",
    "PolicyError",
    "NodeTimeoutError",
    "RetryPolicy",
    "SqliteSaver",
    "TaskContextError",
    "TimeoutPolicy",
    "entrypoint",
    "get_config",
    "get_idempotency_key",
    "get_stream_writer",
    "register",
    "resilient",
    "task",
}


def test_all_is_complete():
    """The promised names are public."""
    assert set() == PROMISED - set(holdfast.__all__)


def test_all_is_sorted_and_unique():
    """So that a reader finds a name, and a merge does not double one."""
    assert sorted(set(holdfast.__all__)) == sorted(holdfast.__all__)


@pytest.mark.parametrize("name", holdfast.__all__ if hasattr(holdfast, "__all__") else ())
def test_each_public_name_resolves(name):
    """Names that load on first use do load, and say what they are."""
    thing = getattr(holdfast, name)

    assert isinstance(thing, str) or thing.__doc__, f"holdfast.{name} has no docstring"


def test_nothing_else_is_public():
    """A helper that slipped into the namespace would become somebody's dependency."""
    code = "import holdfast, types; print(*(n for n, v in vars(holdfast).items() if n[0] != '_' and not isinstance(v, types.ModuleType)))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set() == set(names) - {*holdfast.__all__, "annotations", "TYPE_CHECKING"}


def test_dir_shows_every_public_name():
    """Completion in a shell sees names that are not loaded yet."""
    assert set() == set(holdfast.__all__) - set(dir(holdfast))


def test_an_unknown_name_is_an_attribute_error():
    """A typo names the module and the name, as Python does."""
    with pytest.raises(AttributeError, match="module 'holdfast' has no attribute 'taks'") as caught:
        _ = holdfast.taks
    assert ("taks", holdfast) == (caught.value.name, caught.value.obj)  # of which Python makes "Did you mean: 'task'?"


@pytest.mark.parametrize("name", MODULES)
def test_each_public_module_imports_and_keeps_its_word(name):
    """Every module that is not private can be imported by itself, and its ``__all__`` is true."""
    module = importlib.import_module(name)

    assert isinstance(module, types.ModuleType)
    assert module.__doc__, f"{name} has no docstring"
    assert [] == [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
