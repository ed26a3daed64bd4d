"""The parts that the Swin ops share: blocks, stacks of them, attention within windows."""
