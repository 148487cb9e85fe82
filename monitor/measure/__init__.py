"""The witnesses: what the requests, the server's metrics and (later) the traces say about a run."""
