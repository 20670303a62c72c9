"""Vector index on Milvus, server or Lite."""
