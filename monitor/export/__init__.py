"""The service's own metrics: their names, how they are counted, and how Prometheus and OTLP get them."""
