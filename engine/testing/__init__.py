"""For trying things out without the world: provider simulators, recorded and made-up shoppers."""
