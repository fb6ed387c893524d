"""`infer` as a service: it runs for ever, takes new settings and new engines as it goes, and says how it fares."""
