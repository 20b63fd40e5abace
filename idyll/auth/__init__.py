"""Log-in, tokens, sessions, passwords."""
