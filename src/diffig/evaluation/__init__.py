"""Images are chosen, explained and measured; rows are what is left of it, and all that reports read."""
