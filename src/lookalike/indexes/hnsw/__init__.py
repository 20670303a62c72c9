"""Graph index (HNSW, faiss) of vectors, in this process."""
