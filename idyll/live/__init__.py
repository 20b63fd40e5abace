"""Live delivery: every process follows the log of events and sends to its own sockets what their people may see."""
