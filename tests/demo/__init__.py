"""The demo models and their scenes."""
