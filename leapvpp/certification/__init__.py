"""Plays Leap's scenarios to this installation and reports whether it did what each of them asks."""
