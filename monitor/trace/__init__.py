"""The OTLP receiver: spans of the deployment in, kept by trace id for the trace witness, forwarded unchanged."""
