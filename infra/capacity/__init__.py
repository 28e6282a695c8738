"""What the ledger takes and costs from 0.1 to 10,000 requests a second, and where each part breaks."""
