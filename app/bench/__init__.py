"""How fast a model runs on this device, beside what it would be without an engine, and why it is no faster."""
