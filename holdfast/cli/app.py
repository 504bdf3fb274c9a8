"""The ``holdfast`` command: all that it can do, each in a file of its own."""

from __future__ import annotations

import click

from holdfast.cli.cache.group import cache
from holdfast.cli.export import export
from holdfast.cli.heal import traces
from holdfast.cli.resolve import resolve
from holdfast.cli.resume import resume
from holdfast.cli.runs import runs
from holdfast.cli.show import show
from holdfast.cli.threads import threads
from holdfast.cli.top import top


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 80},
    epilog="\b\nExamples:\n  holdfast runs                                 what ran lately\n"
    "  holdfast show                                 the last run, as a tree\n"
    "  holdfast show 0198c0de                        the run whose id begins so\n"
    "  holdfast top --since 1d                       which tasks flake, which are slow\n"
    "  holdfast threads --db runs.db                 what is waiting, failed, done\n"
    "  holdfast resume app:plan --thread trip-1      go on where it stopped",
)
@click.version_option(package_name="holdfast", message="holdfast %(version)s")
def app() -> None:
    """Look at what your decorated calls did, and resume runs that stopped.

    runs, show and top tell of retries, waits, errors and cache hits, once your program
    calls holdfast.tracing.configure(). threads, resume and resolve need an entrypoint
    with a checkpointer.
    """


for command in (runs, show, top, export, cache, threads, resume, resolve, traces):
    app.add_command(command)
