"""The settings: what a user may choose, where it may be written, and what each choice means."""
