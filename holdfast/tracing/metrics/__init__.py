"""Metrics: the table of them all, and the observer that counts."""

from __future__ import annotations
