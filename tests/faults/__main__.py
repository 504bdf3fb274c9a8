"""``make faults``: all rounds of all faults. ARGS="--only kill --rounds 20 --seed 7" for some; a failed round is told with how to repeat it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.lives import Tally
from tests.faults.scenarios import FAULTS, Faults

PROGRESS_SECONDS = 30.0


def run(faults: Faults, fault: str, seeds: range) -> tuple[Tally, list[int]]:
    """All rounds of one fault; the seeds of those that failed."""
    total, failed, said = Tally(), [], time.monotonic()
    for number, seed in enumerate(seeds, start=1):
        try:
            total += faults.round(fault, seed)
        except AssertionError as error:
            failed.append(seed)
            print(f"  FAILED {fault} {seed}: {error}\n  kept: {faults.folder / f'{fault}-{seed}'}", flush=True)
        if time.monotonic() - said > PROGRESS_SECONDS and number < len(seeds):
            said = time.monotonic()
            print(f"  {fault}: {number} of {len(seeds)} rounds", flush=True)
    return total, failed


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="make faults", description="Kill, starve and race real runs, and count what they did.")
    parser.add_argument("--only", choices=FAULTS, action="append", help="one kind of fault (may be given several times)")
    parser.add_argument("--rounds", type=int, help="rounds of each kind (default: as many as the kind has)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round; the next ones count up (default: 1)")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    faults, broken = Faults(Path(tempfile.mkdtemp(prefix="holdfast-faults-"))), 0
    print(f"{'fault':<14}{'rounds':>7}{'deaths':>8}{'kept':>9}{'again':>7}{'failed':>8}{'seconds':>9}")
    for name in options.only or FAULTS:
        started = time.monotonic()
        rounds = FAULTS[name].rounds if options.rounds is None else options.rounds
        total, failed = run(faults, name, range(options.seed, options.seed + rounds))
        broken += len(failed)
        figures = f"{rounds:>7}{total.deaths:>8}{total.kept:>9}{total.again:>7}{len(failed):>8}{time.monotonic() - started:>9.0f}"
        print(f"{name:<14}{figures}   {FAULTS[name].about}", flush=True)
        for seed in failed:
            print(f'  again: make faults ARGS="--only {name} --seed {seed} --rounds 1"')
    print("kept: outcomes that a life found in the store. again: effects had once more, in flight at a death. failed: promises broken.")
    if broken:
        return 1
    shutil.rmtree(faults.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
