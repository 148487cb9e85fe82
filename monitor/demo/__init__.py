"""The demo: a real Dynamo deployment on loopback, made, broken and put away by one command."""
