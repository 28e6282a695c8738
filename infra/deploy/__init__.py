"""Deploying the stack: what the settings say, what is missing, what would change, and whether it then works."""
