"""What the application does, one module a verb: core decides, adapters act."""
