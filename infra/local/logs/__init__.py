"""What functions and the platform write, and who subscribed to it."""
