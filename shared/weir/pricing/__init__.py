"""What things cost: the dated price book, and the arithmetic that turns quantities into money."""
