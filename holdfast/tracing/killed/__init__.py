"""What becomes of spans whose process dies: kept while they are open, told while they are under way, ended afterwards."""

from __future__ import annotations
