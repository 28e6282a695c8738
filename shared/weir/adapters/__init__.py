"""The only rooms that touch the outside: HTTP, AWS, the environment, stdout, the clock."""
