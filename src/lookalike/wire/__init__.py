"""The JSON objects of the HTTP API: the server's responses, what the client parses, and what `--json` prints."""
