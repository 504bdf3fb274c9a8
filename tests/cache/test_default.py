"""The default cache of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from holdfast.cache import disk
from holdfast.cache.default import default_cache, set_default_cache
from holdfast.cache.disk import DiskCache, default_folder
from holdfast.cache.memory import InMemoryCache
from holdfast.errors import PolicyError


@pytest.fixture
def no_default():
    """No default cache is set during the test."""
    before = set_default_cache(None)
    yield
    set_default_cache(before)


def test_there_is_one_for_the_process(no_default):
    """Every task without a cache of its own shares it."""
    assert isinstance(default_cache(), DiskCache)
    assert default_cache() is default_cache()


def test_the_environment_says_where(no_default, monkeypatch, tmp_path):
    """``HOLDFAST_CACHE_DIR`` is the folder itself, and is not made before it is used."""
    monkeypatch.setenv("HOLDFAST_CACHE_DIR", str(tmp_path / "here"))

    assert tmp_path / "here" == default_cache().path
    assert not (tmp_path / "here").exists()


def test_without_it_the_users_cache_folder_is_taken(monkeypatch):
    """As the platform has it."""
    monkeypatch.delenv("HOLDFAST_CACHE_DIR")

    assert Path(platformdirs.user_cache_dir("holdfast")) / "cache" == default_folder()


def test_a_relative_path_is_fixed_when_the_cache_is_made(monkeypatch, tmp_path):
    """A later change of directory does not move the cache."""
    monkeypatch.chdir(tmp_path)
    cache = DiskCache("cache")
    monkeypatch.chdir("/")

    assert tmp_path / "cache" == cache.path


def test_setting_gives_back_what_was_there(no_default):
    """None stands for nothing, before and after."""
    mine = InMemoryCache()

    assert set_default_cache(mine) is None
    assert default_cache() is mine
    assert set_default_cache(None) is mine
    assert default_cache() is not mine


def test_importing_and_making_caches_loads_nothing_heavy():
    """diskcache and SQLite come with the first use."""
    code = """
import sys
from holdfast.cache.default import default_cache
from holdfast.cache.memory import InMemoryCache
from holdfast.errors import PolicyError
from holdfast.cache.keys import KeyMaker
default_cache(); InMemoryCache()
print({"diskcache", "sqlite3", "asyncio"} & sys.modules.keys())
"""
    assert "set()" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_python_without_sqlite_has_no_disk_cache_and_says_so(monkeypatch, tmp_path, codec, key, reasons):
    """Every call misses."""
    for name in ("holdfast.cache._store", "holdfast.cache._rows", "holdfast.cache._table"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "diskcache", None)

    assert disk.DiskCache(tmp_path / "c").get(key, codec) is None
    assert ["refused"] == reasons()


@pytest.mark.parametrize("given", ["my-cache", Path("my-cache"), 5, DiskCache])
def test_what_is_no_cache_is_refused(no_default, given):
    """At once, and what was set stays set: else every cached call of the program would crash."""
    mine = InMemoryCache()
    set_default_cache(mine)

    with pytest.raises(PolicyError, match=r"cache=.*DiskCache\("):
        set_default_cache(given)
    assert default_cache() is mine
