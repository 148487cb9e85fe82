"""What the status page is told while it looks."""
