"""AWS's bill: what its lines mean, how they compare with the ledger, and what a difference looks like."""
