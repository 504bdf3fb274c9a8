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


class _Commands(click.Group):
    """Answers a command that it has not with the one that was meant: spelt otherwise, or one of a group's."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches  # for a mistake only

        name = args[0]
        if self.get_command(ctx, name) is None:
            groups = [(of, command.commands) for of, command in self.commands.items() if isinstance(command, click.Group)]
            inside = [f"{of} {name}" for of, commands in groups if name in commands]
            meant = next(iter(inside or get_close_matches(name, self.commands, n=1)), None)
            if meant is not None:
                ctx.fail(f"No such command {name!r}: did you mean `holdfast {meant}`?")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
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
