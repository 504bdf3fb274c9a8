"""Keys as 64 bits of a hash that is salted with the user's secret: who has a file with such hashes alone cannot check a guess."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.typing import CacheKey

SIZE = 8
MOST_SEEDS = 1024
"""Namespaces whose seeds are kept. A function that is defined anew for each request, around another value, has one each time."""


class Hasher:
    """Hashes keys.

    Args:
        secret: The user's.

    Attributes:
        salt: Tells salts apart, and does not tell the salt; hashes of different ones cannot be compared.
    """

    def __init__(self, secret: bytes) -> None:
        salt = blake2b(secret, digest_size=32, person=b"holdfast-trace").digest()
        self.salt = int.from_bytes(blake2b(salt, digest_size=7).digest())
        self._salted = blake2b(digest_size=SIZE, key=salt)
        self._seeds: dict[str, blake2b] = {}

    def hash_of(self, key: CacheKey) -> int:
        """From 1 to 2 ** 64 - 1."""
        seed = self._seeds.get(key.namespace)
        if seed is None:
            seed = self._salted.copy()
            seed.update(key.namespace.encode("utf-8", "surrogatepass") + b"\0")
            if len(self._seeds) >= MOST_SEEDS:
                self._seeds.clear()
            self._seeds[key.namespace] = seed
        salted = seed.copy()
        salted.update(key.digest)
        return int.from_bytes(salted.digest()) or 1
