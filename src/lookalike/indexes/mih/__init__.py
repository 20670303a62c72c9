"""Multi-index hashing: an exact in-process index of hashes under Hamming distance."""
