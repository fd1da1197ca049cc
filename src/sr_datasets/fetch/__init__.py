"""Bytes from elsewhere: over HTTP, out of archives, or generated here; each checked before it gets its name."""
