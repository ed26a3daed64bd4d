"""The paper's order of its own networks, put to the test: docs/paper_order.md."""
