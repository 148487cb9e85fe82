"""Recording and alerting rules for Prometheus, made from what a configuration says."""
