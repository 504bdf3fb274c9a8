"""Which trees of spans are kept: the policy, what is held until it is known, and the processor for a provider of your own."""

from __future__ import annotations
