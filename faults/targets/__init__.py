"""Adapters through which a deployment is seen and touched."""
