"""jetsmith: a YOLO model in, an engine for this device out, detections from it."""

import sys

__version__ = "0.1.0"

# Said here, and in words that any Python 3 can read: an older one would stumble over the syntax of all that follows.
if sys.version_info < (3, 10):  # noqa: UP036
    raise SystemExit(
        "error: jetsmith needs Python 3.10 or newer, and this is %d.%d\n"  # noqa: UP031
        "hint:  On a Jetson take JetPack 6 or 7. Nano and Xavier end with JetPack 4 and 5, whose TensorRT is bound to "
        "Python 3.6 and 3.8: they cannot be used." % sys.version_info[:2]
    )
