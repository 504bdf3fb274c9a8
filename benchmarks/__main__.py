"""What calls cost, beside the bare call and other libraries: ``python -m benchmarks``, or ``make bench``.

With --smoke: a few rows, quickly, without peers, against generous limits; the exit code says whether they hold.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks import table
from benchmarks.child import ChildFailed, measure_apart
from benchmarks.harness import OWN, Result, Row
from benchmarks.rows import all_rows

ROUNDS = 15
SLICE_S = 0.02
SMOKE_ROUNDS = 5
SMOKE_SLICE_S = 0.005
FINER = 5  # how much shorter the rounds of a second chance are, and as many more: some then come between the turns of other processes


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    options = _parser().parse_args(arguments)
    rows = [row for row in all_rows() if options.only is None or re.search(options.only, row.name)]
    if not rows:
        print(f"no row's name matches {options.only!r}; the rows are:", *[f"  {row.name}" for row in all_rows()], sep="\n")
        return 2
    return smoke(rows, options.rounds or SMOKE_ROUNDS) if options.smoke else bench(rows, options.rounds or ROUNDS, options.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="check generous limits quickly; exit code 1 when one is broken")
    parser.add_argument("--only", metavar="PATTERN", type=re.compile, help="rows whose name matches this regular expression")
    parser.add_argument("--rounds", metavar="N", type=_positive, help=f"rounds for each row (default {ROUNDS}, smoke {SMOKE_ROUNDS})")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all samples there too")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number of at least 1")
    return number


def bench(rows: list[Row], rounds: int, file: Path | None) -> int:
    """Measure and print; 1 when a row could not be measured."""
    print(table.header(), table.heading(), sep="\n")
    measured: list[Result] = []
    failures = 0
    verdicts: list[bool] = []
    for row in rows:
        try:
            result = measure_apart(row, rounds=rounds, slice_s=SLICE_S)
        except ChildFailed as failure:
            failures += 1
            print(f"FAILED {failure}")
            continue
        measured.append(result)
        verdict = table.is_reached(row, result)
        verdicts += [] if verdict is None else [verdict]
        print(*table.lines(row, result), sep="\n", flush=True)
    print(f"{sum(verdicts)} of {len(verdicts)} targets reached; {table.load()}")
    if file is not None:
        file.write_text(json.dumps({"machine": table.header(), "rows": [asdict(result) for result in measured]}, indent=1))
    return 1 if failures else 0


def smoke(rows: Iterable[Row], rounds: int) -> int:
    """Check the guards; what is broken gets a second chance with many and short rounds. 1 when something stays broken."""
    broken: list[str] = []
    for row in rows:
        if row.guards:
            found = check(row, rounds, SMOKE_SLICE_S) and check(row, 3 * FINER * rounds, SMOKE_SLICE_S / FINER)
            print(f"{'BROKEN' if found else 'ok':<7} {row.name}", flush=True)
            broken += found
    print(*broken, table.load(), sep="\n")
    return 1 if broken else 0


def check(row: Row, rounds: int, slice_s: float) -> list[str]:
    """Measure what a row's guards compare; the sentences about those that do not hold."""
    needed = frozenset({OWN, row.base, *[guard.against for guard in row.guards if guard.against is not None]})
    try:
        result = measure_apart(row, rounds=rounds, slice_s=slice_s, only=needed)
    except ChildFailed as failure:
        return [str(failure)]
    if result.missing:
        return [f"{row.name}: {name} {why}" for name, why in result.missing.items()]
    return result.broken(row)


if __name__ == "__main__":
    sys.exit(main())
