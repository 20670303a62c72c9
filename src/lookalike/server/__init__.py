"""The service over HTTP: who may call it, what it answers, and its page."""
