"""LLM providers: their wire protocols, and the HTTP client that speaks them."""
