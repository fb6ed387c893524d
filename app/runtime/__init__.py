"""Runners: one way to run an engine, whatever executes it."""
