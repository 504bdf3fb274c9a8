"""What no call may suffer from and nobody may see: the firewall around whatever leaves the process, and the masking of secrets."""

from __future__ import annotations
