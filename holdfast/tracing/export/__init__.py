"""The way out: where ended spans go, in which dialect, and what the answers mean."""

from __future__ import annotations
