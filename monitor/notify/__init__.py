"""Telling people how runs ended, where they look anyway: a webhook, Slack, an Alertmanager."""
