"""The pytest plugin; loaded by pytest itself (entry point ``holdfast``), switched off with ``-p no:holdfast``."""

from __future__ import annotations
