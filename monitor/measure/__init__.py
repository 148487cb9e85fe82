"""The witnesses: what the requests, the server's metrics and the traces say about a run."""
