"""Fine-tuning towards a capability goal."""
