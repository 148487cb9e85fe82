"""Programs that run on their own, with the standard library only."""
