"""Run the benchmarks behind docs/numbers.md one after the other; some hours on two quiet cores.

python -m benchmarks [NAME ...]
"""

import subprocess
import sys

NAMES = (
    *("phash", "decode_pool", "thumbnails", "ingest", "mih", "hnsw", "vgg16", "copy_recall"),
    *("startup", "catalog", "elastic", "elastic_plot", "elastic_costs", "milvus", "cached_features", "recall"),
    *("plan_check", "serving", "cleanup"),
)

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
