"""Many devices from one place: each one's Docker is asked what is there, and brought to what the fleet file says."""
