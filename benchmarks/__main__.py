"""Every measurement behind docs/numbers.md, one after the other; some hours on two quiet cores.

python -m benchmarks [QUESTION ...]
"""

import subprocess
import sys

QUESTIONS = (
    *("phash", "decode_pool", "thumbnails", "ingest", "mih", "hnsw", "vgg16", "finding"),
    *(
        "startup",
        "catalog",
        "elastic",
        "elastic_plot",
        "elastic_costs",
        "milvus",
        "originals",
        "recall",
        "plan_check",
        "serving",
    ),
)

if __name__ == "__main__":
    for question in sys.argv[1:] or QUESTIONS:
        print(f"\n== {question}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{question}"], check=True)
