"""Training of networks that restore pictures: sequences, losses, validation."""
