"""Change the code in one small way at a time and see whether a test notices: what no test notices, no test guards.

    python scripts/mutate.py                                  60 mutants of each module in `MODULES`
    python scripts/mutate.py policies/retry.py --sample 100   of one, or of all in a folder (`values`)

How: a copy of the tree gets one mutant (`scripts/mutants.py`) at a time; the sync twin of an ``_async`` module is made anew. This process has
loaded pytest and the heavy libraries; a fork of it imports the copy and runs those of the module's tests that run the changed lines
(`scripts/touched.py`), the quickest first, until one fails. The sample is the same for the same seed and source. Outcomes are kept in ``build/mutation``: a run goes on where it was stopped, and after a change to the
tests only the survivors are tried again. (Delete that folder after a change to what a module stands on.)

Why not mutmut 3, which forks too: it works by trampolines in functions, so it leaves tables, class bodies and decorated functions alone, and
knows no twins. Why not cosmic-ray: 3 s for each mutant, because each starts a pytest, half of the mutants in annotations, and no sampling.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

import hypothesis
import mutants
import pytest
import touched
import unasync

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "mutation"
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "benchmarks")
PRELOADED = "_hypothesis_pytestplugin anthropic asyncio attr langgraph.func langgraph.graph msgspec numpy openai opentelemetry.sdk.trace pydantic sqlalchemy sqlite3 structlog"

_RETRY = "policies/test_retry.py policies/test_retry_fields.py policies/test_tenacity.py"
_ERRORS = "policies/test_classify.py policies/test_error_rules.py policies/test_what_is_retried.py policies/test_library_errors.py policies/test_real_errors.py"
_CODEC = "values/test_codec_bytes.py values/test_codec.py values/test_registry.py"
_KEYS = "values/test_canonical_bytes.py values/test_canonical.py values/test_views.py values/test_fingerprint.py"
_FACTS = "runtime/test_facts.py runtime/test_attempts.py"
_CALLS = f"test_resilient.py {_FACTS} test_task.py runtime/test_flight.py runtime/test_journal.py test_entrypoint.py"
_SLOTS = "runtime/test_slots.py runtime/test_limits.py runtime/test_memory.py"
_ENDS = "runtime/test_ending.py runtime/test_failures.py runtime/test_unawaited.py test_tracebacks.py test_durable.py"

_TRACES = "tuning/test_files.py tuning/test_curves.py"

_RECORDING = (
    "recording/test_recorder.py recording/test_packing.py recording/test_probes.py recording/test_processes.py tuning/test_recording.py"
)

_STATES = "test_branches.py test_states.py test_history_model.py"

_GRAPHS = (
    "graph/test_running.py graph/test_bad_input.py graph/test_builder.py graph/test_commands.py graph/test_inside.py graph/test_durable_graphs.py graph/test_bulk_updates.py "
    "graph/test_faults_model.py graph/test_inner.py graph/test_long_runs.py flows/test_graph_programs.py"
)

PATIENCE = 10.0  # seconds beyond four times what its slowest test takes, in which a mutant is to end some test
MODULES = {
    "_graph/channels.py": _GRAPHS,
    "_graph/nodes.py": _GRAPHS,
    "_graph/routes.py": _GRAPHS,
    "_graph/walk.py": _GRAPHS,
    "_journals.py": f"{_STATES} runtime/test_journal.py runtime/test_interrupt.py",
    "_ownership.py": f"{_STATES} test_durable_owners.py test_resolve.py",
    "_resolve.py": "test_resolve.py runtime/test_once.py",
    "_snapshots.py": f"{_STATES} runtime/test_stream.py",
    "_states.py": _STATES,
    "policies/attributes.py": f"policies/test_attributes.py policies/test_classify.py policies/test_pushback.py {_RETRY}",
    "policies/backoff.py": f"policies/test_backoff.py {_RETRY}",
    "policies/cache.py": "policies/test_cache_policy.py",
    "policies/cache_fields.py": "policies/test_cache_policy.py policies/test_freshness.py",
    "policies/callables.py": f"policies/test_cache_policy.py {_RETRY}",
    "policies/classify.py": _ERRORS,
    "policies/decision.py": f"policies/test_decision.py {_RETRY}",
    "policies/duration.py": "policies/test_duration.py policies/test_timeout.py policies/test_cache_policy.py",
    "policies/error_rules.py": _ERRORS,
    "policies/error_table.py": _ERRORS,
    "policies/freshness.py": "policies/test_freshness.py runtime/test_freshness_model.py",
    "policies/plan.py": "policies/test_plan.py runtime/test_inject.py runtime/test_cache_modes.py",
    "policies/pushback.py": "policies/test_pushback.py policies/test_retry.py",
    "policies/retry.py": f"{_RETRY} policies/test_plan.py",
    "policies/retry_fields.py": _RETRY,
    "policies/tenacity.py": "policies/test_tenacity.py",
    "policies/timeout.py": "policies/test_timeout.py",
    "policies/tune.py": "policies/test_cache_policy.py",
    "values/binding.py": f"values/test_binding.py test_task.py {_KEYS}",
    "values/canonical.py": _KEYS,
    "values/code.py": "values/test_code.py values/test_fingerprint.py values/test_views.py",
    "values/codec.py": f"{_CODEC} runtime/test_interrupt.py",
    "values/envelope.py": "values/test_envelope.py",
    "values/failure.py": "values/test_failure.py",
    "values/fingerprint.py": "values/test_fingerprint.py values/test_code.py",
    "values/kinds.py": f"{_CODEC} values/test_canonical.py",
    "values/plain.py": "values/test_plain.py values/test_codec.py",
    "values/records.py": f"values/test_records.py {_KEYS} {_CODEC}",
    "values/registry.py": "values/test_registry.py values/test_codec.py values/test_failure.py",
    "values/views.py": _KEYS,
    "cache/_fates.py": "cache/test_misses.py cache/test_sweep.py cli/test_cache.py",
    "cache/_keeper.py": "cache/test_disk.py cache/test_faults.py cache/test_misses.py cache/test_processes.py cache/test_hostile.py test_full_disk.py "
    "cache/test_coherence.py cache/test_security.py recording/test_recorder.py",
    "cache/_leases.py": "cache/test_leases.py",
    "cache/keys.py": "cache/test_keys.py",
    "overrides/guard.py": "overrides/test_guard.py overrides/test_overrides.py overrides/test_live.py",
    "overrides/store.py": "overrides/test_overrides.py overrides/test_live.py cli/test_cache_ttl.py tuning/test_autopilot.py",
    "recording/attendant.py": f"{_RECORDING} overrides/test_live.py test_forks.py",
    "recording/recorder.py": _RECORDING,
    "recording/rules.py": "overrides/test_live.py tuning/test_autopilot.py",
    "runtime/_async/call.py": f"runtime/test_once.py {_CALLS} {_ENDS} runtime/test_cache_timeouts.py runtime/test_cache_entry.py runtime/test_behind.py "
    "recording/test_recorder.py recording/test_probes.py",
    "runtime/_async/resilient.py": f"test_resilient.py {_FACTS} runtime/test_flight.py runtime/test_lookup.py",
    "runtime/_async/step.py": _CALLS,
    "runtime/_ports.py": f"runtime/test_once.py test_resilient.py {_SLOTS} runtime/test_ending.py runtime/test_flight.py runtime/test_attempts.py runtime/test_journal.py "
    "runtime/test_cache_timeouts.py test_entrypoint.py test_durable_threads.py test_single_flight_processes.py",
    "runtime/attempts.py": f"{_FACTS} runtime/test_replay.py runtime/test_stream.py runtime/test_limits.py test_resilient.py test_tracebacks.py "
    "runtime/test_ending.py runtime/test_failures.py",
    "runtime/behind.py": "runtime/test_behind.py runtime/test_fail_safe.py runtime/test_cache_timeouts.py runtime/test_loop_lag.py runtime/test_fork.py "
    "tracing/observers/test_renewals.py recording/test_probes.py",
    "runtime/convoy.py": "runtime/test_convoy.py runtime/test_hop.py",
    "runtime/detached.py": "runtime/test_limits.py test_resilient.py runtime/test_facts.py runtime/test_attempts.py runtime/test_slots.py test_tracebacks.py "
    "runtime/test_interrupt.py runtime/test_failures.py runtime/test_replay.py",
    "runtime/dispatch.py": f"runtime/test_dispatch.py {_SLOTS} runtime/test_fork.py",
    "runtime/flight.py": "runtime/test_flight.py runtime/test_lookup.py runtime/test_standstill.py runtime/test_behind.py runtime/test_cache_timeouts.py test_resilient.py "
    "test_single_flight_processes.py runtime/test_fork.py",
    "runtime/future.py": "runtime/test_future.py test_task.py runtime/test_slots.py runtime/test_ending.py",
    "runtime/holdoff.py": "runtime/test_holdoff.py runtime/test_fail_safe.py",
    "runtime/hop.py": "runtime/test_hop.py test_resilient.py test_task.py runtime/test_stress.py",
    "runtime/journal.py": f"runtime/test_journal.py runtime/test_once.py runtime/test_replay.py test_entrypoint.py {_ENDS} test_states.py tracing/killed/test_killed.py",
    "runtime/landing.py": "runtime/test_landing.py runtime/test_cache_timeouts.py runtime/test_flight.py runtime/test_standstill.py",
    "runtime/late.py": "runtime/test_late.py runtime/test_writer.py runtime/test_journal.py test_entrypoint.py",
    "runtime/lookup.py": "runtime/test_lookup.py test_resilient.py runtime/test_flight.py runtime/test_facts.py runtime/test_fail_safe.py "
    "runtime/test_behind.py runtime/test_cache_modes.py runtime/test_cache_entry.py runtime/test_cache_timeouts.py cache/test_misses.py "
    "runtime/test_loop_lag.py recording/test_probes.py tuning/test_otlp.py",
    "runtime/loops.py": "runtime/test_future.py runtime/test_fork.py test_task.py",
    "runtime/naming.py": "runtime/test_naming.py runtime/test_replay.py runtime/test_journal.py",
    "runtime/once.py": "runtime/test_once.py test_resolve.py",
    "runtime/outcomes.py": "runtime/test_outcomes.py runtime/test_writer.py runtime/test_once.py runtime/test_journal.py",
    "runtime/questions.py": "runtime/test_questions.py runtime/test_interrupt.py runtime/test_stream.py",
    "runtime/replay.py": "runtime/test_replay.py runtime/test_journal.py test_durable.py",
    "runtime/steps.py": f"runtime/test_stream.py runtime/test_once.py runtime/test_journal.py test_task.py runtime/test_interrupt.py "
    f"runtime/test_facts.py runtime/test_ending.py {_SLOTS} runtime/test_behind.py runtime/test_dispatch.py runtime/test_replay.py langgraph_/test_surroundings.py",
    "runtime/stream.py": "runtime/test_stream.py test_entrypoint.py",
    "runtime/trail.py": "runtime/test_trail.py runtime/test_replay.py",
    "runtime/writer.py": "runtime/test_writer.py runtime/test_outcomes.py",
    "tuning/_bands.py": "tuning/test_staleness.py",
    "tuning/_chain.py": "tuning/test_curves.py",
    "tuning/_chart.py": "tuning/test_tuner.py",
    "tuning/_columns.py": _TRACES,
    "tuning/_csv.py": "tuning/test_files.py",
    "tuning/_doubts.py": "tuning/test_tuner.py",
    "tuning/_files.py": "tuning/test_files.py",
    "tuning/_histories.py": "tuning/test_staleness.py",
    "tuning/_json_lines.py": "tuning/test_files.py",
    "tuning/_limited.py": "tuning/test_limits.py",
    "tuning/_looks.py": "tuning/test_staleness.py",
    "tuning/_mixture.py": "tuning/test_staleness.py",
    "tuning/_oracle_general.py": "tuning/test_files.py",
    "tuning/_page.py": "tuning/test_tuner.py",
    "tuning/_replay.py": "tuning/test_staleness.py",
    "tuning/_rows.py": "tuning/test_files.py",
    "tuning/_rule.py": "tuning/test_tuner.py",
    "tuning/_scalar.py": "tuning/test_curves.py",
    "tuning/_staleness.py": "tuning/test_staleness.py",
    "tuning/_steps.py": "tuning/test_steps.py",
    "tuning/_vector.py": "tuning/test_curves.py",
    "tuning/_words.py": "tuning/test_tuner.py",
    "tuning/autopilot.py": "tuning/test_autopilot.py",
    "tuning/question.py": "tuning/test_tuner.py",
    "tuning/rates.py": "tuning/test_rates.py",
    "tuning/report.py": "tuning/test_tuner.py",
    "tuning/sightings.py": "tuning/test_sightings.py",
    "tuning/trace.py": _TRACES,
    "tuning/tuner.py": "tuning/test_tuner.py",
}
"""Modules of the package, and the tests (below ``tests``, quickest to tell first) that a mutant of each has to pass."""


class Bench:
    """A copy of the tree in which mutants are tried.

    Args:
        folder: Where to put it.
        module: Path of the module to be mutated, below the package.
    """

    def __init__(self, folder: Path, module: str) -> None:
        self._tree = folder / "tree"
        self._log = folder / "log"
        self._path = self._tree / "holdfast" / module
        self._tests = [f"tests/{name}" for name in MODULES[module].split()]
        shutil.copytree(ROOT, self._tree, ignore=NOT_COPIED)
        self.source = self._path.read_bytes()
        self._touched: dict[str, touched.Touched] = {}

    def prepare(self) -> float:
        """Find out what the tests run, then run them without a mutant; return the seconds they take.

        Raises:
            SystemExit: They fail.
        """
        for name in PRELOADED.split():
            importlib.import_module(name)
        kept = self._log.with_name("touched")
        twin = {str(unasync.twin_path(self._path)): unasync.BANNER.count("\n")} if "_async" in self._path.parts else {}
        outcome, _ = self._run(touched.Watch({str(self._path): 0, **twin}, kept), is_trial=True)
        if outcome == "timeout":  # whoever fails may be too slow while watched
            raise SystemExit(f"mutate: a test hangs while it is watched:\n{self._log.read_text(encoding='utf-8')}")
        self._touched = touched.read(kept)
        began = time.monotonic()
        outcome, by = self._run(touched.Chosen(list(self._touched)))
        if outcome != "survived":
            raise SystemExit(f"mutate: the tests fail without a mutant: {outcome} {by}\n{self._log.read_text(encoding='utf-8')}")
        return time.monotonic() - began

    def digest_of_tests(self) -> str:
        """Changes whenever one of the tests does."""
        paths = [self._tree / name for name in self._tests]
        files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]

    def judge(self, edit: mutants.Edit) -> tuple[str, str]:
        """``killed``, ``timeout`` or ``survived``, and the test that killed it."""
        changed = touched.lines_of(self.source, edit.start)
        tests = [test for test, each in self._touched.items() if each.may_notice(changed)]
        if not tests:
            return "survived", ""
        self._write(edit.apply(self.source))
        try:
            return self._run(touched.Chosen(tests), limit=PATIENCE + 4 * max(self._touched[test].seconds for test in tests))
        finally:
            self._write(self.source)

    def _write(self, source: bytes) -> None:
        self._path.write_bytes(source)
        paths = [self._path]
        if "_async" in self._path.parts:
            twin = unasync.twin_path(self._path)
            twin.write_text(unasync.sync_text(self._path), encoding="utf-8")
            paths.append(twin)
        for path in paths:  # bytecode of equal size and age would be taken for this one's
            for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
                stale.unlink()

    def _run(self, plugin: object, *, limit: float = 120, is_trial: bool = False) -> tuple[str, str]:
        """Run the tests in a fork, a session of its own, of which nothing is left, and which may go on for ``limit`` without any test ending.

        A trial runs them all, whether they fail or not, and leaves bytecode behind.
        """
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._run_pytest(plugin, is_trial=is_trial)
        ended, status = self._wait(child, limit)
        if not ended:
            return "timeout", ""
        if os.waitstatus_to_exitcode(status) == 0:
            return "survived", ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "killed", next((line.split(" - ")[0] for line in reversed(lines) if line.startswith(("FAILED ", "ERROR "))), "no test ran")

    def _wait(self, child: int, limit: float) -> tuple[int, int]:
        """Wait for a child as long as tests end in it, each of which makes the log grow; whether it ended, and its status."""
        ended, status, size, since = 0, 0, 0, time.monotonic()
        try:
            while not ended and time.monotonic() < since + limit:
                time.sleep(0.01)
                ended, status = os.waitpid(child, os.WNOHANG)
                if (now := self._log.stat().st_size if self._log.exists() else 0) != size:
                    size, since = now, time.monotonic()
        finally:
            with contextlib.suppress(ProcessLookupError):  # it may be the child alone, and gone
                os.killpg(child, signal.SIGKILL)
            if not ended:
                os.waitpid(child, 0)
        return ended, status

    def _run_pytest(self, plugin: object, *, is_trial: bool) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when this runs in the background of a shell
        os.setsid()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        code = 70
        try:
            os.chdir(self._tree)
            sys.path.insert(0, str(self._tree))
            sys.dont_write_bytecode = not is_trial
            os.environ |= {"PYTHONPATH": str(self._tree), "PYTHONDONTWRITEBYTECODE": "1"}  # for processes that tests start
            options = ["--tb=line", "-Wignore:Module already imported", "--hypothesis-profile=mutate", *([] if is_trial else ["-x"])]
            code = pytest.main([*options, *self._tests], plugins=[plugin])
            sys.stdout.flush()
        finally:
            os._exit(code)  # without the exit handlers of this process


class Report(NamedTuple):
    """What became of the mutants of one module."""

    module: str
    total: int
    outcomes: list[str]
    survivors: list[str]

    @property
    def rate(self) -> float:
        """Killed mutants of those tried, in percent."""
        return 100 - 100 * self.outcomes.count("survived") / max(1, len(self.outcomes))

    def __str__(self) -> str:
        counts = "".join(f"{self.outcomes.count(outcome):>10}" for outcome in ("killed", "timeout", "survived"))
        return f"{self.module:<28}{self.total:>8}{len(self.outcomes):>8}{counts}{self.rate:>8.1f} %"


HEADING = f"{'module':<28}{'mutants':>8}{'tried':>8}{'killed':>10}{'timeout':>10}{'survived':>10}{'rate':>8}"


def check(module: str, size: int, seed: int) -> Report:
    """Try a sample of a module's mutants."""
    kept = RESULTS / f"{module.replace('/', '.')}.json"
    known: dict[str, list[str]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        bench = Bench(Path(folder), module)
        source, tests, is_ready = bench.source, bench.digest_of_tests(), False
        every = mutants.edits(source)
        sample = sorted(random.Random(f"{seed} {module}").sample(every, min(size, len(every))))  # noqa: S311 - chance is not a secret
        report = Report(module, len(every), [], [])
        for edit in sample:
            mutant = edit.apply(source)
            name = hashlib.sha256(mutant).hexdigest()[:16]
            outcome, by, tested = known.get(name, ["", "", ""])
            if not outcome or (outcome == "survived" and tested != tests):
                if not is_ready:
                    print(f"{module}: its tests take {bench.prepare():.1f} s", file=sys.stderr)
                    is_ready = True
                outcome, by = bench.judge(edit)
                known[name] = [outcome, by, tests]
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(known, indent=0), encoding="utf-8")
            report.outcomes.append(outcome)
            if outcome == "survived":
                report.survivors.append(difference(module, source, mutant))
    return report


def difference(module: str, source: bytes, mutant: bytes) -> str:
    """A mutant, as a diff."""
    old, new = (text.decode().splitlines() for text in (source, mutant))
    return "\n".join(difflib.unified_diff(old, new, module, module, n=1, lineterm=""))


def _leave(number: int, _: object) -> NoReturn:
    """Clear away what is running, as after Ctrl-C."""
    raise SystemExit(128 + number)


def main(arguments: list[str] | None = None) -> int:
    """Try mutants as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(prog="mutate", description="Do the tests notice when the code is changed?")
    parser.add_argument("modules", nargs="*", default=[""], help="policies/retry.py, or the beginning of several (default: all)")
    parser.add_argument("--sample", type=int, default=60, help="mutants to try of each module (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="which of them (default: 0)")
    parser.add_argument("--at-least", type=float, default=90, help="exit 1 when a module's rate is lower (default: 90 percent)")
    options = parser.parse_args(arguments)
    chosen = [module for module in MODULES if module.startswith(tuple(options.modules))]
    if not chosen:
        parser.error(f"no such module: {' '.join(options.modules)}; there are {', '.join(MODULES)}")
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # a failure is enough, it need not be small
    hypothesis.settings.register_profile("mutate", database=None, derandomize=True, deadline=None, phases=phases)
    signal.signal(signal.SIGTERM, _leave)
    reports: list[Report] = []
    print(HEADING, flush=True)
    for module in chosen:
        reports.append(check(module, options.sample, options.seed))
        print(reports[-1], flush=True)
    print("", *(survivor for report in reports for survivor in report.survivors), sep="\n\n")
    return int(any(report.rate < options.at_least for report in reports))


if __name__ == "__main__":
    raise SystemExit(main())
