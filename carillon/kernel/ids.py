"""Identity by keyed, versioned hashes: the same on every machine, store and day.

`h31` is stored once a contact; buckets are computed from it by arithmetic that SQLite, PostgreSQL, numpy and Python
agree on (no store has a common hash function), so an assignment never leaves SQL.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

P31 = 2_147_483_647
"""The Mersenne prime 2^31 - 1: products of two residues fit into a signed 64-bit integer everywhere."""

BUCKETS = 10_000


def hash64(*parts: str | bytes | int) -> int:
    """A signed 64-bit content hash of the parts, each length-prefixed so that ("ab", "c") differs from ("a", "bc")."""
    h = hashlib.blake2b(digest_size=8, person=b"carillon-h64-v1")
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        h.update(len(raw).to_bytes(4, "big"))
        h.update(raw)
    return int.from_bytes(h.digest(), "big", signed=True)


def h31(shop_id: str) -> int:
    """The contact's hash residue in [0, 2^31 - 1), stored in `contact.h31`; version 1."""
    digest = hashlib.blake2b(shop_id.encode(), digest_size=8, person=b"carillon-h31-v1").digest()
    return int.from_bytes(digest, "big") % P31


@dataclass(frozen=True, slots=True)
class Salt:
    """The two coefficients of one experiment's bucket function: bucket = ((h31 * a + b) mod P31) mod 10,000."""

    a: int
    b: int


def salt(experiment: str) -> Salt:
    """The coefficients of an experiment, from its name alone; version 1, pinned by golden vectors."""
    digest = hashlib.blake2b(experiment.encode(), digest_size=16, person=b"carillon-buk-v1").digest()
    return Salt(1 + int.from_bytes(digest[:8], "big") % (P31 - 1), int.from_bytes(digest[8:], "big") % P31)


def bucket(experiment: str, residue: int) -> int:
    """The bucket in [0, 10,000) of a contact (by its `h31`) in an experiment."""
    s = salt(experiment)
    return ((residue * s.a + s.b) % P31) % BUCKETS
