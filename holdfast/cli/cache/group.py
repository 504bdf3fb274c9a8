"""``holdfast cache``: the group of its commands."""

from __future__ import annotations

import click

from holdfast.cli.cache.keys import keys
from holdfast.cli.cache.purge import purge
from holdfast.cli.cache.stats import stats
from holdfast.cli.cache.ttl import ttl
from holdfast.cli.cache.tune import tune
from holdfast.cli.cache.why import why


@click.group(
    epilog="\b\nExamples:\n  holdfast cache stats                          what is kept of each task\n"
    "  holdfast cache keys forecast --by size        its largest entries\n"
    "  holdfast cache tune forecast --stale-budget 5%\n"
    "  holdfast cache purge --tag weather --dry-run  what a purge would take"
)
def cache() -> None:
    """Look at what a disk cache keeps, and forget some of it.

    stats, keys, why and tune change nothing, and disturb nobody at work.
    """


for command in (stats, keys, why, tune, ttl, purge):
    cache.add_command(command)
