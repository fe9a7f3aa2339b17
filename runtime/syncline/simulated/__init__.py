"""Adapters in memory for simulation and tests: same semantics, seeded, able to fail on purpose."""
