"""What template.yaml says, as plain values."""
