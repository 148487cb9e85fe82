"""Tests against real Dynamo, aiperf and Prometheus."""
