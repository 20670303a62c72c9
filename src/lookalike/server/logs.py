"""The server's log: one JSON object a line on standard error, a line a request. No key and no image is in it."""

import json
import logging
import sys
from datetime import UTC, datetime

LOGGERS = ("lookalike", "uvicorn.error")


class JsonLines(logging.Formatter):
    """A record as a JSON object; what `extra={"told": {...}}` brings stands beside time and level."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "told", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(*, requests: bool) -> None:
    """Log to standard error; without `requests`, warnings and errors alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if requests and name == "lookalike" else logging.WARNING)
