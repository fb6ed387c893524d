"""
What builders have learnt and may use again: models/engines/.cache/<device>/<name>. No engine depends on it.

It lies apart from the shelves, so it is neither listed nor pruned as an engine. A file carries its own digest: what was
truncated or altered is not given to a library that trusts its bytes.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from app.engines.files import read_capped, regular_size, store_errors, write_synced
from app.engines.locks import hold
from app.engines.upkeep import LOCKS

CACHE = ".cache"
_MAX_BYTES = 2**30
_DIGEST_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STUCK_S = 60.0


class Cached:
    """One file of the cache, shared by all processes that build on this store."""

    def __init__(self, root: Path, device_slug: str, name: str) -> None:
        if not _NAME.fullmatch(device_slug) or not _NAME.fullmatch(name):
            raise ValueError(f"Cannot cache {name!r} for device {device_slug!r}")
        self.path = root / CACHE / device_slug / name
        self._lock = root / LOCKS / f"cache-{device_slug}-{name}.lock"

    def read(self) -> bytes | None:
        """
        What was kept; None where there is nothing, or nothing whole.

        Raises:
            StoreError: it may not be read.
        """
        with store_errors(self.path, "read"):
            if regular_size(self.path) is None:
                return None
            data = read_capped(self.path, _MAX_BYTES)
        digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        return content if hashlib.sha256(content).digest() == digest else None

    def update(self, merge: Callable[[bytes | None], bytes]) -> None:
        """
        Replace what is there by `merge` of it, while no other process does.

        Raises:
            StoreError: it cannot be written, or another process has held it for a minute.
        """
        with hold(self._lock, timeout_s=_STUCK_S):
            content = merge(self.read())
            partial = self.path.with_name(f".{self.path.name}.part")
            with store_errors(self.path, "write"):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                partial.unlink(missing_ok=True)  # of a process that was killed here
                write_synced(partial, hashlib.sha256(content).digest() + content)
                partial.replace(self.path)
