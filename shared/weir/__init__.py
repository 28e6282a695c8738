"""Stream, validate and meter LLM calls on AWS Lambda."""
