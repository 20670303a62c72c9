"""ASGI middleware: access log, origin checks, authentication, body limits."""
