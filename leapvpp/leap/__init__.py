"""The only code that speaks Leap's HTTP API; it imports nothing else of the project."""
