"""Generate one document: the request, its attempts and events, and what it leaves behind."""
