"""The life of a run: the guard before it, its phases, its end, and what a crash left open."""
