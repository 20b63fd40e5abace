"""The books of money: double entry, append-only."""
