"""What the arithmetic rests on: every constant with its unit and, in one line, where it was measured or published."""

from dataclasses import dataclass

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that was measured or published; `source` names the file, benchmark or document."""

    name: str
    value: float
    unit: str
    source: str


CHECKED = "measured: benchmarks/plan_check.py"
ENGINES = "measured: docs/engines.md"
NUMBERS = "measured: docs/numbers.md"

# The article's arithmetic.
FLOAT = Constant("a float", 4, "bytes", "IEEE 754 single precision; the article: 512 floats are 2 KB")
HALF = Constant(
    "half a float", 2, "bytes", "IEEE 754 half precision: the catalog's vectors, and those in the hnsw graph"
)

# Embedded engines.
ROW = Constant("a row beside its features", 17, "bytes", "stores/rows.py: id 8, tenant 8, alive 1")
FLAT_TABLES = Constant("look-ups of flat", 50, "bytes a row in memory", CHECKED)
MIH_ROW = Constant("a row of mih", 64, "bytes", "stores/mih_runs.py: id 8, code 8, four tables 48")
MIH_FRESH = Constant(
    "newest rows of mih", 24, "bytes a row", "stores/mih_state.py: up to 32,768 wait outside the tables"
)
MIH_ROOM = Constant("room for them", 32_768, "rows", "stores/mih_state.py; half full on average")
MIH_TENANTS = Constant("tenants of mih", 8, "bytes a row", "stores/mih_runs.py, from two tenants on")
MIH_BUCKETS = Constant("buckets of mih", 2.1 * MB, "bytes", "stores/mih_tables.py: starts of 262,144 buckets, a run")
MIH_MERGING = Constant("runs of mih being merged", 1.3, "times its rows, at the most", CHECKED)
GRAPH_LINKS = Constant("m", 24, "links a row, twice as many at the bottom", "stores/hnsw.py; recall in docs/numbers.md")
GRAPH_LINK = Constant("a link", 4, "bytes", "Faiss: a row number of 32 bits")
GRAPH_ROW = Constant("levels of the graph", 16, "bytes a row", "Faiss: level 4, offset 8, upper links 4 on average")
GRAPH_KEYS = Constant("nodes of the graph", 12, "bytes a row", "stores/hnsw_nodes.py: node 4, key 8")
HNSW_TABLES = Constant("look-ups of hnsw", 66, "bytes a row in memory", CHECKED)
EMBEDDED = Constant("an embedded index", 4 * MB, "bytes in memory", CHECKED + ", buffers whatever its size")
RESERVE = Constant(
    "a machine's memory for indexes", 0.8, "of it", "our choice: the rest is the system's, and a reserve"
)
ADDING_COPIES = Constant("arrays being rewritten", 2, "times the index, at the most", CHECKED)
ADDING_BATCH = Constant("a batch being added", 80 * MB, "bytes in memory", CHECKED)
MIH_LIMIT = Constant("rows of mih", 2**32, "rows", "stores/mih_tables.py numbers rows in 32 bits")
HNSW_LIMIT = Constant("rows of hnsw", 2**31, "rows", "stores/hnsw_nodes.py numbers nodes in 31 bits")

# Elasticsearch.
ES_DOCUMENT = Constant("a document", 105, "bytes on disk", CHECKED + ", without attributes, merged")
ES_TEXT = Constant("attributes", 0.15, "times their JSON", CHECKED + ": terms of a keyword field")
ES_SHARD_BYTES = Constant("a shard", 50 * GB, "bytes at the most", "Elasticsearch, Size your shards: 10 to 50 GB")
ES_SHARD_ROWS = Constant("a shard", 200e6, "documents at the most", "Elasticsearch, Size your shards: 200 million")
ES_HEAP = Constant(
    "a heap", 26 * GB, "bytes at the most", "Elasticsearch, Heap size: 26 GB keeps pointers short everywhere"
)
ES_HEAP_SHARE = Constant(
    "a heap's share", 0.5, "of a machine's memory", "Elasticsearch, Heap size: the rest caches files"
)
ES_SEARCH = Constant("a search", 0.8e-3, "core seconds a view", CHECKED + ", the server's processor time, m = 5")
ES_SEARCH_ROWS = Constant("growth of a search", 2e-9, "core seconds a document", CHECKED + ": 300,000 and 1 million")
ES_LEAD = Constant("documents walked", 64, "for each of a tenant's", "Lucene leads with the rarest clause")
ES_SMALL_HEAP = Constant("heap of a small node", 0.5 * GB, "bytes", ENGINES + ": up, searching and filling at that")
ES_MERGING = Constant(
    "room for merging", 1.5, "times the documents", "Elasticsearch, Disk watermarks: keep 15 % free; merges"
)
ES_BULK = Constant("bulk", 27e3, "documents a second", ENGINES + ", two cores")
ES_QUORUM = Constant("nodes that elect a master", 3, "nodes", "Elasticsearch, Resilience: two of three can still elect")

# Milvus.
MILVUS_LEAST = Constant("a small server", 0.22 * GB, "bytes in memory", ENGINES)
MILVUS_LOADED = Constant(
    "a collection in use", 45 * MB, "bytes in memory, a node", CHECKED + ": the heap of Go, buffers, whatever its size"
)
MILVUS_FULL = Constant("load", 0.9, "of the query nodes' memory", "Milvus, Load a partition: below 90 %")
MILVUS_SEGMENT = Constant("a segment", 1024 * MB, "bytes", "Milvus, dataCoord.segment.maxSize: 1,024 MB by default")
MILVUS_SEGMENT_MOST = Constant(
    "a segment", 16 * 1024 * MB, "bytes at the most", "our choice: building its index needs twice that"
)
MILVUS_SEGMENTS = Constant("segments", 2000, "searched well", "our choice: every search of all tenants visits each")
MILVUS_SCANNED = Constant("rows that are scanned", 20_000, "rows", "stores/milvus_settings.py")
MILVUS_NODES = Constant("query nodes", 48, "before a smaller index type is taken", "our choice")
MILVUS_NAMED = Constant("partitions by name", 64, "at the most", "our choice: each is a unit that Milvus looks after")
MILVUS_PARTITIONS = Constant("partitions", 1024, "in a collection", "Milvus, Use partition key: 1,024 at the most")
MILVUS_KEY_PARTITIONS = Constant("partitions of a key", 16, "by default", "Milvus, Use partition key")
MILVUS_UNITS = Constant("shards x partitions", 65_536, "in all", "Milvus 2.6, Limit collection counts")
MILVUS_FIELDS = Constant(
    "fields beside the vector", 24, "bytes a row on disk", "id 8, tenant 8, time stamp 8 (Milvus adds its own)"
)
MILVUS_NODE = Constant("a node of HNSW", 72, "bytes a row", "hnswlib, in Knowhere: counts, label, level, pointer, lock")
MILVUS_ROOM = Constant("an index in memory", 1.2, "times its bytes", CHECKED + ": what loading leaves in the heaps")
MILVUS_ROW = Constant(
    "a row in memory", 280, "bytes beside the index", CHECKED + ": fields, attributes as JSON, keys to rows"
)
IVF_LISTS = Constant("nlist", 1024, "lists a segment", "stores/milvus_settings.py: 4 x the root of its rows")
IVF_PROBES = Constant("nprobe", 64, "lists, until tuned to a recall", "stores/milvus_settings.py")
DISK_CODES = Constant(
    "codes of DISKANN", 0.125, "of the vectors, in memory", "Milvus, DISKANN: pq_code_budget_gb_ratio"
)
DISK_CACHE = Constant(
    "cache of DISKANN", 0.1, "of the vectors, in memory", "Milvus, DISKANN: search_cache_budget_gb_ratio"
)
DISK_DEGREE = Constant("links of DISKANN", 56, "a row", "Milvus, DISKANN: max_degree")
DISK_SECTOR = Constant("a sector", 4096, "bytes", "DiskANN (Subramanya et al., 2019): a node lies in one sector")
DISK_SEARCH = Constant(
    "a search of DISKANN", 3.2e-3, "core seconds", "Subramanya et al., 2019: 5,000 a second on 16 cores"
)

# Searching, in seconds of one core.
MIH_SEARCH = Constant("a search of mih", 0.16e-3, "core seconds a view", NUMBERS + ": 10 million, p50")
MIH_CANDIDATES = Constant("growth of mih", 2.1e-12, "core seconds a row", "68 of 65,536 buckets, 2 ns a candidate")
SCAN_HASH = Constant("a hash scanned", 1.3e-9, "core seconds", NUMBERS + ": 1 million in 1.24 ms")
SCAN_FLOAT = Constant("a float scanned", 6.3e-10, "core seconds", ENGINES + ": 62 searches/s, 100,000 x 512, two cores")
GRAPH_SEARCH = Constant("a search of hnsw", 1.58e-3, "core seconds", NUMBERS + ": 100,000 rows, alone")
GRAPH_SEARCH_ROWS = Constant(
    "of so many rows", 100e3, "rows", "it grows with their logarithm (Malkov and Yashunin, 2018)"
)
MILVUS_SEARCH = Constant(
    "a search of HNSW", 0.88e-3, "core seconds a segment", ENGINES + ": 2,282/s, 100,000 rows, two cores"
)
GRAPH_BUILD = Constant("building hnsw", 1.06e-3, "core seconds a row", NUMBERS + ": 100,000 rows in 53 s, two cores")
VIEWS = Constant("views of a hash", 8, "a search", "docs/architecture.md: turned and mirrored images")

# Adding, and reading a query's image.
READ = Constant(
    "reading, decoding, hashing, cataloguing", 2 / 1415, "core seconds", NUMBERS + ": 1,415/s, two cores, 75 kB"
)
VGG16 = {
    "bf16": Constant(
        "VGG16 in bf16", 2 / 14.3, "core seconds", NUMBERS + ": 14.3/s, two cores with AMX or AVX-512 bf16"
    ),
    "fp32": Constant("VGG16 in fp32", 2 / 6.7, "core seconds", NUMBERS + ": 6.7/s, two cores"),
    "int8": Constant("VGG16 in int8", 2 / 28.3, "core seconds", NUMBERS + ": 28.3/s, two cores"),
}
ADDING = Constant("both together", 0.94, "of the encoder alone", NUMBERS)
PROCESS = Constant("a process", 90 * MB, "bytes in memory", CHECKED + ", libraries")
NETWORK = Constant("VGG16 in memory", 390 * MB, "bytes", CHECKED + ", fp32; bf16 260 MB")

# The catalog.
IMAGE = Constant("a record in SQLite", 185, "bytes", CHECKED + ", without key, path, attributes and features")
KEY_COPIES = Constant("a key", 1.95, "times", CHECKED + ": in the record and in the index of keys")
TEXT_COPIES = Constant("a path, or attributes", 0.95, "times", CHECKED)
HASH_RECORD = Constant("a hash in SQLite", 9, "bytes beside its own", CHECKED)
PAGE = Constant("a page of SQLite", 4096, "bytes", "SQLite's default, kept by catalog/sqlite.py")
PG_PARTITIONED = Constant("images in one table", 1e9, "images", "catalog/schema.py: partitions beyond")
PG_PARTITION = Constant("a partition", 100e6, "images", "our choice: vacuumed and indexed within an hour or so")
PG_PARTITIONS = Constant("partitions", 256, "at the most", "catalog/schema.py")
SQLITE_MOST = Constant(
    "images in one file", 100e6, "images", "our choice: 170 GB to copy, check and vacuum; one writer"
)
PG_RECORD = Constant("a record in PostgreSQL", 340, "bytes", CHECKED + ", without key, path, attributes and features")
PG_KEY_COPIES = Constant("a key", 2.15, "times", CHECKED + ": in the record and in the index of keys")
PG_TEXT = Constant("a path", 1.03, "times", CHECKED)
PG_ATTRIBUTES = Constant("attributes", 1.5, "times their JSON", CHECKED + ": jsonb")
PG_PAGE = Constant("a page of PostgreSQL", 8192, "bytes", "PostgreSQL's default")
PG_TUPLE = Constant("a row of features", 32, "bytes", "PostgreSQL, Database page layout: header 24, id 8")
PG_KEY = Constant("its place in the primary key", 23, "bytes", CHECKED)
PG_PIECE = Constant("a piece of a long row", 1996, "bytes", "PostgreSQL, TOAST")
THUMBNAIL = Constant(
    "a small image", 20 * KB, "bytes", "measured: imaging/thumbnail.py, 384 pixels: 18 to 23 kB on average"
)
