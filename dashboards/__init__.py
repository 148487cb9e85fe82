"""What people look at: Grafana dashboards, recording and alerting rules. Made as data; knows nothing of the monitor."""
