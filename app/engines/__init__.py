"""Engines on disk: what names them, what is known of them, where they are kept."""
