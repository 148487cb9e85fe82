"""Kubernetes: the client, its errors as clear reasons, commands in containers, what a deployment is made of."""
