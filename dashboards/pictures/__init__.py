"""Dashboards as pictures, for where no Grafana is at hand."""
