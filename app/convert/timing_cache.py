"""
What TensorRT measured in earlier builds, so that it need not measure it again.

Kept for each device and each TensorRT, for neither can use what another one measured. It speeds a build up and changes
nothing else, so whatever is wrong with it is a warning and a build without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.convert.child import Channel
from app.engines.cache import Cached
from app.errors import StoreError
from app.runtime import tensorrt_compat as compat

if TYPE_CHECKING:
    import tensorrt as stubs

COLD, WARM, DROPPED = "cold", "warm", "dropped"


def cached_timings(job: dict[str, Any], trt: Any) -> Cached | None:
    """The file that this build shares with others, if the job names a store and this library makes use of one."""
    # TensorRT for RTX has the calls, but they do nothing; it tunes kernels when an engine is first run.
    if job.get("store") is None or compat.capabilities(trt):
        return None
    return Cached(Path(job["store"]), job["device_slug"], f"{trt.__name__}-{trt.__version__}.timing")


def attach(config: "stubs.IBuilderConfig", cached: Cached, channel: Channel) -> str:
    """Give the builder what was measured before; returns whether that was anything."""
    known = _read(cached, channel)
    if known is not None:
        if _set(config, known):
            return WARM
        channel.warn(f"the timing cache {cached.path} does not fit this device and TensorRT: it is begun anew")
    _set(config, b"")
    return COLD if known is None else DROPPED


def keep(config: "stubs.IBuilderConfig", cached: Cached, replaced: bool, channel: Channel) -> None:
    """Add what was measured now to what others have kept meanwhile, or replace that where it did not fit."""
    cache = config.get_timing_cache()
    if cache is None:
        return

    def merge(known: bytes | None) -> bytes:
        if known is not None and not replaced:
            cache.combine(config.create_timing_cache(known), ignore_mismatch=False)
            compat.MESSAGES.take_errors()  # where it does not fit it adds nothing
        return bytes(memoryview(cache.serialize()))

    try:
        cached.update(merge)
    except StoreError as error:
        channel.warn(f"the timing cache was not kept: {error.message}")


def _read(cached: Cached, channel: Channel) -> bytes | None:
    try:
        return cached.read()
    except StoreError as error:
        channel.warn(f"the timing cache is not used: {error.message}")
        return None


def _set(config: "stubs.IBuilderConfig", content: bytes) -> bool:
    """A cache that does not fit is refused, or replaced by an empty one with an error in the log."""
    cache = config.create_timing_cache(content)
    accepted = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    return not compat.MESSAGES.take_errors() and bool(accepted)
