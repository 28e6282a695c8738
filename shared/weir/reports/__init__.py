"""What finance reads: reports, rows and exports of the ledger."""
