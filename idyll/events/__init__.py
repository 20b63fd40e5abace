"""The durable log of what happened, from which clients catch up."""
