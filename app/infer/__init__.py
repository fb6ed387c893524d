"""Pictures in, detections out."""
