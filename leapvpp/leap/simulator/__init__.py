"""A Leap of our own, for tests, the demo and certification: it holds events, pushes and answers."""
