"""The parts that the Swin ops share: blocks and attention within windows."""
