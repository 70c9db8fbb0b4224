"""Strategies at work: scenarios that a visitor of the demo plays, each on devices of its own."""
