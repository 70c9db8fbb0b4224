"""How a line of the log looks."""

from __future__ import annotations

import logging
import time


class UtcLine(logging.Formatter):
    """Write times as UTC with a `Z`, whatever the machine's zone; a line break in a message is escaped."""

    converter = time.gmtime  # type: ignore[assignment]  # as the standard library documents it
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Write the one line; a traceback follows it as always."""
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)
