"""What spans are made of: attributes, captured values, stacks, ids, links, and the records that they become."""

from __future__ import annotations
