"""Reading requests: bounded bodies, JSON, multipart forms, query images."""
