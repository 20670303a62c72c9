"""The planner's constants: each with its unit, and the measurement, document or source file that it comes from."""

from collections.abc import Set as AbstractSet
from functools import partial
from typing import Self

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12


class Constant(float):
    """A measured or published number; `source` names the benchmark, file or document.

    `scope` is the engine, index type, pipeline, precision or database that it applies to, several separated by "/".
    """

    scope: str
    name: str
    unit: str
    source: str

    def __new__(cls, scope: str, name: str, value: float, unit: str, source: str) -> Self:
        self = super().__new__(cls, value)
        self.scope, self.name, self.unit, self.source = scope, name, unit, source
        return self


_any, _flat, _mih, _hnsw = (partial(Constant, scope) for scope in ("", "flat", "mih", "hnsw"))
_graph, _ivf, _diskann = (partial(Constant, scope) for scope in ("hnsw/HNSW", "IVF_FLAT/IVF_SQ8", "DISKANN"))
_es, _milvus = partial(Constant, "elasticsearch"), partial(Constant, "milvus")
_sqlite, _pg, _vgg16 = partial(Constant, "sqlite"), partial(Constant, "postgresql"), partial(Constant, "vgg16")

PLAN_CHECK = "measured: benchmarks/plan_check.py"
ENGINES_DOC = "measured: docs/engines.md"
NUMBERS_DOC = "measured: docs/numbers.md"
CHOICE = "design choice: "

# Features.
FLOAT = _any("float32", 4, "bytes", "IEEE 754 single precision; the published system: 512 floats are 2 KB")
HALF = _any("float16", 2, "bytes", "IEEE 754 half precision: vectors in the catalog and in the hnsw graph")
VIEWS = _any("views of a hash", 8, "a search", "docs/architecture.md: rotated and mirrored images")

# Embedded indexes.
ROW = _any("row without its feature", 17, "bytes", "indexes/row_table.py: id 8, tenant 8, alive 1")
FLAT_TABLES = _flat("lookup tables", 50, "bytes a row in memory", PLAN_CHECK)
MIH_ROW = _mih("row", 64, "bytes", "indexes/mih/runs.py: id 8, code 8, four tables 48")
MIH_BUFFERED = _mih("buffered row", 24, "bytes a row", "indexes/mih/state.py: rows outside the tables")
MIH_BUFFER = _mih("write buffer", 32_768, "rows", "indexes/mih/state.py; half full on average")
MIH_TENANTS = _mih("tenant", 8, "bytes a row", "indexes/mih/runs.py, with two tenants or more")
MIH_BUCKETS = _mih("buckets", 2.1 * MB, "bytes", "indexes/mih/bucket_tables.py: 262,144 offsets a run")
MIH_MERGING = _mih("runs being merged", 1.3, "times its rows, at most", PLAN_CHECK)
MIH_MAX_ROWS = _mih("rows", 2**32, "rows", "indexes/mih/bucket_tables.py: 32-bit row numbers")
GRAPH_M = _graph("M", 24, "links a row, twice as many at level 0", "indexes/hnsw; recall in docs/numbers.md")
GRAPH_LINK = _graph("link", 4, "bytes", "Faiss: 32-bit row number")
GRAPH_ROW = _hnsw("levels", 16, "bytes a row", "Faiss: level 4, offset 8, upper links 4 on average")
GRAPH_KEYS = _hnsw("nodes", 12, "bytes a row", "indexes/hnsw/node_map.py: node 4, key 8")
HNSW_TABLES = _hnsw("lookup tables", 66, "bytes a row in memory", PLAN_CHECK)
HNSW_MAX_ROWS = _hnsw("rows", 2**31, "rows", "indexes/hnsw/node_map.py: 31-bit node numbers")
EMBEDDED = _any("embedded index", 4 * MB, "bytes in memory", f"{PLAN_CHECK}, buffers at any size")
USABLE_MEMORY = _any("memory for indexes", 0.8, "of a machine", f"{CHOICE}the rest is for the system and a reserve")
ADDING_COPIES = _any("arrays being rewritten", 2, "times the index, at most", PLAN_CHECK)
ADDING_BATCH = _any("batch being added", 80 * MB, "bytes in memory", PLAN_CHECK)

# Elasticsearch.
ES_DOCUMENT = _es("document", 105, "bytes on disk", f"{PLAN_CHECK}, without attributes, merged")
ES_ATTRIBUTES = _es("attributes", 0.15, "times their JSON", f"{PLAN_CHECK}: terms of a keyword field")
ES_SHARD_BYTES = _es("shard", 50 * GB, "bytes at most", "Elasticsearch, Size your shards: 10 to 50 GB")
ES_SHARD_ROWS = _es("shard", 200e6, "documents at most", "Elasticsearch, Size your shards: 200 million")
ES_MAX_HEAP = _es("heap", 26 * GB, "bytes at most", "Elasticsearch, Heap size: 26 GB keeps pointers compressed")
ES_HEAP_SHARE = _es("heap", 0.5, "of a machine's memory", "Elasticsearch, Heap size: the rest caches files")
ES_SMALL_HEAP = _es("heap of a small node", 0.5 * GB, "bytes", f"{ENGINES_DOC}: starts, searches and fills")
ES_MERGING = _es("space for merging", 1.5, "times the documents", "Elasticsearch, Disk watermarks; merges")
ES_QUORUM = _es("master-eligible nodes", 3, "nodes", "Elasticsearch, Resilience: two of three elect a master")
ES_SEARCH = _es("search", 0.8e-3, "core seconds a view", f"{PLAN_CHECK}, the server's processor time, m = 5")
ES_SEARCH_ROWS = _es("growth of a search", 2e-9, "core seconds a document", f"{PLAN_CHECK}: 300,000 and 1 million")
ES_LEAD = _es("documents visited", 64, "for each of a tenant's", "Lucene leads with the rarest clause")

# Milvus.
MILVUS_BASE = _milvus("small server", 0.22 * GB, "bytes in memory", ENGINES_DOC)
MILVUS_LOADED = _milvus("loaded collection", 45 * MB, "bytes in memory, a node", f"{PLAN_CHECK}: Go heap and buffers")
MILVUS_FULL = _milvus("load", 0.9, "of the query nodes' memory", "Milvus, Load a partition: below 90 %")
MILVUS_SEGMENT = _milvus("segment", 1024 * MB, "bytes", "Milvus, dataCoord.segment.maxSize: 1,024 MB by default")
MILVUS_MAX_SEGMENT = _milvus("segment", 16 * 1024 * MB, "bytes at most", f"{CHOICE}building its index takes twice that")
MILVUS_MAX_SEGMENTS = _milvus("segments", 2000, "at most", f"{CHOICE}a search of all tenants visits each")
MILVUS_SCAN_ROWS = _milvus("rows that are scanned", 20_000, "rows", "indexes/milvus/config.py")
MILVUS_MAX_NODES = _milvus("query nodes", 48, "before a smaller index type is chosen", CHOICE + "operating cost")
MILVUS_NAMED = _milvus("partitions by name", 64, "at most", f"{CHOICE}each is managed and loaded by Milvus")
MILVUS_PARTITIONS = _milvus("partitions", 1024, "in a collection", "Milvus, Use partition key: 1,024 at most")
MILVUS_KEY_PARTITIONS = _milvus("partitions of a key", 16, "by default", "Milvus, Use partition key")
MILVUS_FIELDS = _milvus("scalar fields", 24, "bytes a row on disk", "id 8, tenant 8, time stamp 8 (added by Milvus)")
MILVUS_NODE = _milvus("node of HNSW", 72, "bytes a row", "hnswlib in Knowhere: counts, label, level, pointer, lock")
MILVUS_OVERHEAD = _milvus("index in memory", 1.2, "times its bytes", f"{PLAN_CHECK}: heap left over from loading")
MILVUS_ROW = _milvus("row in memory", 280, "bytes beside the index", f"{PLAN_CHECK}: fields, attributes as JSON, keys")
IVF_LISTS = _ivf("nlist", 1024, "lists a segment", "indexes/milvus/config.py: 4 x the root of its rows")
IVF_PROBES = _ivf("nprobe", 64, "lists, until tuned to a recall", "indexes/milvus/config.py")
DISK_CODES = _diskann("codes", 0.125, "of the vectors, in memory", "Milvus, DISKANN: pq_code_budget_gb_ratio")
DISK_CACHE = _diskann("cache", 0.1, "of the vectors, in memory", "milvus: search_cache_budget_gb_ratio")
DISK_DEGREE = _diskann("links", 56, "a row", "Milvus, DISKANN: max_degree")
DISK_SECTOR = _diskann("sector", 4096, "bytes", "Subramanya et al., DiskANN, 2019: a node fits in one sector")
DISK_SEARCH = _diskann("search", 3.2e-3, "core seconds", "Subramanya et al., 2019: 5,000/s on 16 cores")

# Searching, in seconds of one core.
MIH_SEARCH = _mih("search", 0.16e-3, "core seconds a view", f"{NUMBERS_DOC}: 10 million, p50")
MIH_CANDIDATES = _mih("growth of a search", 2.1e-12, "core seconds a row", "68 of 65,536 buckets, 2 ns a candidate")
SCAN_HASH = _any("hash scanned", 1.3e-9, "core seconds", f"{NUMBERS_DOC}: 1 million in 1.24 ms")
SCAN_FLOAT = _any("float scanned", 6.3e-10, "core seconds", f"{ENGINES_DOC}: 62/s, 100,000 x 512, two cores")
GRAPH_SEARCH = _hnsw("search", 1.58e-3, "core seconds", f"{NUMBERS_DOC}: 100,000 rows, one caller")
GRAPH_SEARCH_ROWS = _graph("search measured at", 100e3, "rows", "cost grows as their log (Malkov, Yashunin, 2018)")
GRAPH_BUILD = _hnsw("building", 1.06e-3, "core seconds a row", f"{NUMBERS_DOC}: 100,000 in 53 s, two cores")
MILVUS_SEARCH = _milvus("search of HNSW", 0.88e-3, "core seconds a segment", f"{ENGINES_DOC}: 2,282/s, 100,000 rows")

# Reading and encoding images, for adding and for queries.
READ = _any("read, decode, hash, store", 2 / 1415, "core seconds", f"{NUMBERS_DOC}: 1,415/s, two cores, 75 kB")
VGG16 = {
    "bf16": Constant("bf16", "VGG16 in bf16", 2 / 14.3, "core seconds", f"{NUMBERS_DOC}: 14.3/s, two cores with AMX"),
    "fp32": Constant("fp32", "VGG16 in fp32", 2 / 6.7, "core seconds", f"{NUMBERS_DOC}: 6.7/s, two cores"),
    "int8": Constant("int8", "VGG16 in int8", 2 / 28.3, "core seconds", f"{NUMBERS_DOC}: 28.3/s, two cores"),
}
ADDING = _vgg16("adding", 0.94, "of the encoder's speed alone", NUMBERS_DOC)
PROCESS = _any("process", 90 * MB, "bytes in memory", f"{PLAN_CHECK}, libraries")
NETWORK = _vgg16("memory", 390 * MB, "bytes", f"{PLAN_CHECK}, fp32; bf16 260 MB")

# The catalog.
SQLITE_RECORD = _sqlite("record", 185, "bytes", f"{PLAN_CHECK}, without key, path, attributes and features")
SQLITE_KEY = _sqlite("key", 1.95, "times", f"{PLAN_CHECK}: in the record and in the index of keys")
SQLITE_TEXT = _sqlite("path, attributes", 0.95, "times", PLAN_CHECK)
SQLITE_HASH = _sqlite("hash", 9, "bytes beside its own", PLAN_CHECK)
SQLITE_PAGE = _sqlite("page", 4096, "bytes", "SQLite's default, set by catalog/sqlite.py")
SQLITE_MAX_IMAGES = _sqlite("images in one file", 100e6, "images", f"{CHOICE}170 GB to copy and vacuum; one writer")
PG_RECORD = _pg("record", 340, "bytes", f"{PLAN_CHECK}, without key, path, attributes and features")
PG_KEY = _pg("key", 2.15, "times", f"{PLAN_CHECK}: in the record and in the index of keys")
PG_PATH = _pg("path", 1.03, "times", PLAN_CHECK)
PG_ATTRIBUTES = _pg("attributes", 1.5, "times their JSON", f"{PLAN_CHECK}: jsonb")
PG_PAGE = _pg("page", 8192, "bytes", "PostgreSQL's default")
PG_TUPLE = _pg("row of features", 32, "bytes", "PostgreSQL, Database page layout: header 24, id 8")
PG_PRIMARY_KEY = _pg("primary key", 23, "bytes a row", PLAN_CHECK)
PG_TOAST_CHUNK = _pg("TOAST chunk", 1996, "bytes", "PostgreSQL, TOAST")
PG_PARTITION_ABOVE = _pg("images in one table", 1e9, "images", "catalog/schema.py: partitions beyond")
PG_PARTITION = _pg("partition", 100e6, "images", f"{CHOICE}vacuumed and indexed within about an hour")
PG_MAX_PARTITIONS = _pg("partitions", 256, "at most", "catalog/schema.py")
THUMBNAIL = _any("thumbnail", 20 * KB, "bytes", "measured: imaging/thumbnails.py, 384 pixels: 18 to 23 kB on average")


_ALL = (*(value for value in tuple(globals().values()) if isinstance(value, Constant)), *VGG16.values())


def constants_for(scopes: AbstractSet[str]) -> tuple[Constant, ...]:
    return tuple(
        constant for constant in _ALL if not constant.scope or not scopes.isdisjoint(constant.scope.split("/"))
    )
