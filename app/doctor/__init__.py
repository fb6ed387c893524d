"""What is wrong with this machine, before anything is built on it. Needs only Python's own library."""
