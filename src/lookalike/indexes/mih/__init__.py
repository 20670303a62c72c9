"""Multi-index hashing: an exact index of hashes under Hamming distance, in this process."""
