"""Files that viewers show although they break their format's rules, rewritten so that their readers take them.

Missing end markers, damaged ancillary chunks, unusual bit fields and composites of 16 bits lose no pixels. Of a file
that ends early, what is there is kept, and the rest is filled; then pixels are missing. Nothing is invented for a file
whose header is damaged.
"""
