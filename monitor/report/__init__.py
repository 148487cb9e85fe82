"""Reports of what happened: data first, then HTML, Markdown, JSON or PDF of the same data."""
