"""Keys of what is drawn or ordered: a hash of its parts, the same on every machine."""

import hashlib


def digest_of(*parts: str | int) -> bytes:
    """Return the SHA-256 over length-prefixed parts, so that no two lists of parts share one.

    Each part counts as its UTF-8 text (numbers in decimal) behind its length in bytes as a
    little-endian 64-bit number.
    """
    digest = hashlib.sha256()
    for part in parts:
        text = str(part).encode()
        digest.update(len(text).to_bytes(8, "little"))
        digest.update(text)
    return digest.digest()
