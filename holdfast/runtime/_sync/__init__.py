# Generated from holdfast/runtime/_async/__init__.py by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""The driver, written once, async; ``_sync`` is generated from here."""
