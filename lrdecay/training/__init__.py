"""Training: models, data, and the compiled step and epoch."""
