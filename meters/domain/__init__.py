"""Decisions about meters, without Django, a clock or a database."""
