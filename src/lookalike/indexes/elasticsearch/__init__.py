"""Hash index on Elasticsearch: segments of the hash found by a multi-term match with `minimum_should_match`."""
