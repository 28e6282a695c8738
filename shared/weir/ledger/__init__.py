"""From log batches to rows: what the platform and the function said of each request, joined at read."""
