"""The driver, written once, async; ``_sync`` is generated from here."""
