"""The pytest plugin, in pytest sessions of its own: fixtures, isolation, weight, and the switch that turns it off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Loaded here, so that the sessions below share them: pytester forgets what is first imported inside one.
import holdfast.cache.disk
import holdfast.testing.capture
import holdfast.testing.plugin
import holdfast.tracing.logs.lines

pytest_plugins = ["pytester"]

HEAVY = ("opentelemetry", "diskcache", "structlog", "tenacity")
STORES = ("HOLDFAST_CACHE_DIR", "HOLDFAST_TRACES", "HOLDFAST_CONFIG_DIR")


@pytest.fixture
def session(pytester, monkeypatch):
    """Run a test file in a pytest session of its own, with the plugin loaded as for any user; return the result."""
    for name in STORES:
        monkeypatch.delenv(name, raising=False)  # this session's own isolation
    others = "-p no:hypothesispytest -p no:langsmith_plugin"  # they load what we do not
    monkeypatch.setenv("PYTEST_ADDOPTS", f"-p no:cacheprovider {others} -W error")

    def run(code, *options, subprocess=False):
        pytester.makepyfile(code)
        return (pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess)(*options)

    return run


def test_the_clock_fixture_is_installed(session):
    """Inside the test time is virtual, afterwards it is not."""
    result = session("""
        import holdfast.clock

        def test_inside(holdfast_clock):
            assert holdfast.clock.current is holdfast_clock
            holdfast.clock.current.sleep(3600)
            assert [3600] == holdfast_clock.slept

        def test_outside():
            assert holdfast.clock.Clock is type(holdfast.clock.current)
    """)

    result.assert_outcomes(passed=2)


def test_the_no_waits_fixture(session):
    """A policy with long waits is tested in no time, and its waits are known."""
    result = session("""
        from holdfast import RetryPolicy, resilient
        from holdfast.testing import flaky

        def test_it(holdfast_no_waits):
            fetch = resilient(retry_policy=RetryPolicy(initial_interval=100, max_attempts=3))(flaky(2, result="ok"))
            assert "ok" == fetch()
            assert [100, 128] == holdfast_no_waits.slept
    """)

    result.assert_outcomes(passed=1)


def test_the_captured_fixture(session):
    """Spans, lines and the tree of what the test did."""
    result = session("""
        from holdfast import resilient
        from holdfast.testing import flaky

        def test_it(holdfast_captured):
            resilient(name="fetch")(flaky(0))()
            assert "fetch ok" == holdfast_captured.tree()
            assert ["fetch"] == [span["name"] for span in holdfast_captured.spans]
            assert "holdfast.task.completed" == holdfast_captured.lines[-1]["event"]
    """)

    result.assert_outcomes(passed=1)


CACHED = """
    from pathlib import Path

    from holdfast import CachePolicy, resilient

    calls = []

    @resilient(cache_policy=CachePolicy(ttl=60))
    def fetch(city):
        calls.append(city)
        return len(calls)
"""


def test_each_test_has_an_empty_cache(session):
    """A value computed by one test is not served to the next; within a test it is."""
    result = session(f"""{CACHED}
    def test_first():
        assert (1, 1) == (fetch("Oslo"), fetch("Oslo"))

    def test_second():
        assert (2, 2) == (fetch("Oslo"), fetch("Oslo"))
    """)

    result.assert_outcomes(passed=2)


def test_the_cache_fixture_is_the_default_cache(session):
    """It can be purged, and it is on disk, in the temporary folder."""
    result = session(f"""{CACHED}
    def test_it(holdfast_cache, holdfast_clock):
        assert 1 == fetch("Oslo")
        assert 1 == holdfast_cache.purge()
        assert 2 == fetch("Oslo")
        assert any(Path(holdfast_cache.path).iterdir())
        holdfast_clock.advance(61)
        assert 3 == fetch("Oslo")
    """)

    result.assert_outcomes(passed=1)


def test_stores_are_the_tests_own(session):
    """Cache and traces differ from test to test; the folder for secrets is the session's."""
    result = session(f"""
        import os

        seen = []

        def test_one():
            seen.append([os.environ[name] for name in {STORES}])

        def test_two():
            mine = [os.environ[name] for name in {STORES}]
            assert [True, True, False] == [a != b for a, b in zip(mine, seen[0])]
            assert [] == [path for path in mine if os.path.exists(path)]
    """)

    result.assert_outcomes(passed=2)


def test_what_runs_outside_tests_is_isolated_too(session):
    """A session fixture does not touch the user's stores either."""
    result = session("""
        import os

        import pytest

        @pytest.fixture(scope="session")
        def folder():
            return os.environ["HOLDFAST_CACHE_DIR"]

        def test_it(folder):
            assert "holdfast-" in folder
            assert os.environ["HOLDFAST_CACHE_DIR"] != folder
    """)

    result.assert_outcomes(passed=1)


def test_a_test_may_choose_its_own_folder(session):
    """monkeypatch comes after the isolation, and wins."""
    result = session("""
        import os

        from holdfast.cache.default import default_cache

        def test_it(monkeypatch, tmp_path):
            monkeypatch.setenv("HOLDFAST_CACHE_DIR", str(tmp_path / "mine"))
            assert str(tmp_path / "mine") == str(default_cache().path)
    """)

    result.assert_outcomes(passed=1)


def test_nothing_is_left_behind(session):
    """Neither variables nor folders, although something was stored."""
    before = {name: os.environ.get(name) for name in STORES}
    result = session(
        f"""{CACHED}
    def test_it(holdfast_cache):
        assert 1 == fetch("Oslo")
        folder = Path(holdfast_cache.path).parent
        assert folder.is_dir()
        print("folder:", folder.parent)
    """,
        "-s",
    )
    (folder,) = [line.split("folder: ")[1] for line in result.outlines if "folder: " in line]

    result.assert_outcomes(passed=1)
    assert before == {name: os.environ.get(name) for name in STORES}
    assert not Path(folder).exists()


def test_warnings_are_shown_with_their_test(session, monkeypatch):
    """They are written behind the scenes, but before the test ends."""
    monkeypatch.setattr(holdfast.testing.plugin, "_FLUSH_SECONDS", 30)  # however busy the machine
    result = session("""
        from holdfast import RetryPolicy, resilient
        from holdfast.testing import flaky

        def test_noisy(holdfast_no_waits):
            resilient(retry_policy=RetryPolicy(), name="fetch")(flaky(1))()
            assert False

        def test_quiet():
            assert False
    """)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*test_noisy*", "*Captured stderr call*", "holdfast WARNING: fetch attempt 1 failed*", "*test_quiet*"])
    assert 1 == str(result.stdout).count("holdfast WARNING")


def test_it_can_be_switched_off(session):
    """No fixtures, no isolation."""
    result = session(
        f"""
        import os

        def test_environment():
            assert [] == [name for name in {STORES} if name in os.environ]

        def test_fixture(holdfast_clock):
            pass
        """,
        *("-p", "no:holdfast"),
        subprocess=True,
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'holdfast_clock' not found*"])


def test_a_session_without_holdfast_stays_light(session):
    """Nothing heavy is loaded for tests that do not use it, unittest's among them."""
    result = session(
        f"""
        import sys
        import unittest

        class TestOld(unittest.TestCase):
            def test_light(self):
                self.assertEqual([], [name for name in {HEAVY} if name in sys.modules])

        def test_light():
            assert [] == [name for name in {HEAVY} if name in sys.modules]
        """,
        subprocess=True,
    )

    result.assert_outcomes(passed=2)


def test_the_plugin_imports_nothing_heavy():
    """What pytest pays at each start is holdfast itself and no more."""
    code = "import sys, pytest; before = set(sys.modules); import holdfast.testing.plugin; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert [] == [name for name in loaded if name.split(".")[0] in {*HEAVY, "asyncio", "sqlite3", "click", "rich", "httpx"}]
