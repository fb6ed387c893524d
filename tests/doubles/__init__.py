"""Stand-ins for NVIDIA's libraries that behave as the real ones where jetsmith uses them, and compute true results."""
