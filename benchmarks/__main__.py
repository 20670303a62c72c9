"""Every measurement behind docs/numbers.md, one after the other; about an hour on two quiet cores.

python -m benchmarks [QUESTION ...]
"""

import subprocess
import sys

QUESTIONS = ("phash", "decode_pool", "ingest", "mih", "hnsw", "vgg16", "finding")

if __name__ == "__main__":
    for question in sys.argv[1:] or QUESTIONS:
        print(f"\n== {question}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=True)
