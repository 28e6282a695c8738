"""How a function is reached: Lambda's API and function URLs."""
