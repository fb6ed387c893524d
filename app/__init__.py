"""jetsmith: a YOLO model in, an engine for this device out, detections from it."""

__version__ = "0.1.0"
