"""Sync code never starts an event loop, nor so much as loads asyncio, whatever its cache has to do behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading, time
from holdfast import CachePolicy, DiskCache, resilient

policy = CachePolicy(ttl=0.05, stale_while_revalidate=60, stale_if_error=60, refresh_ahead=0.5, ttl_jitter=0.1, negative_ttl=60,
                     soft_timeout=0.05, hard_timeout=10, fail_safe_throttle=0.01, tags=("t",))
cache, asked = DiskCache(sys.argv[1]), 0

@resilient(cache=cache, cache_policy=policy)
def fetch(n):
    global asked
    asked += 1
    if asked % 3 == 0: raise LookupError("gone")
    if asked % 7 == 0: time.sleep(0.1)
    return asked

for n in range(60):
    try: fetch(n % 4)
    except LookupError: pass
    time.sleep(0.01)
    if n % 20 == 19: cache.invalidate("t")
try: fetch.options(cache="bypass")(1)
except LookupError: pass
print(asked > 10, "asyncio" in sys.modules, [each.name for each in threading.enumerate() if "loop" in each.name])
"""


def test_sync_code_starts_no_loop(tmp_path: Path) -> None:
    """Misses, renewals behind the callers, limits of waiting, remembered failures, leases and sweeps."""
    tmp_path.chmod(0o700)
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path / "cache"], capture_output=True, text=True, timeout=60, check=False)

    assert ("True False []", 0) == (done.stdout.strip(), done.returncode), done.stderr
