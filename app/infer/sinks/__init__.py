"""Where results go: for programs, for people, and as pictures."""
