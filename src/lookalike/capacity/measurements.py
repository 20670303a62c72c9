"""The planner's constants, each with its unit and the measurement, document or source file that it comes from.

"plan check" is benchmarks/plan_check.py, "engines" and "numbers" are the measurements in docs/engines.md and
docs/numbers.md, and "choice" is a decision of the planner.
"""

MB, GB, TB = 10**6, 10**9, 10**12

# Images and features.
ATTRIBUTES = 30  # bytes of attributes as JSON; choice
HALF = 2  # bytes a number of half precision: vectors in the catalog and in the hnsw graph; IEEE 754
VIEWS = 8  # searches of a hash: rotated and mirrored images; docs/architecture.md

# Embedded indexes.
ROW = 17  # bytes of a row without its feature: id 8, tenant 8, alive 1; indexes/row_table.py
FLAT_TABLES = 50  # bytes a row in memory, lookup tables; plan check
MIH_ROW = 64  # bytes a row: id 8, code 8, four tables 48; indexes/mih/runs.py
MIH_BUFFERED = 24  # bytes a row outside the tables; indexes/mih/state.py
MIH_BUFFER = 32_768  # rows of the write buffer, half full on average; indexes/mih/state.py
MIH_TENANTS = 8  # bytes a row with two tenants or more; indexes/mih/runs.py
MIH_BUCKETS = 2.1 * MB  # bytes a run: 262,144 offsets; indexes/mih/bucket_tables.py
MIH_MERGING = 1.3  # times its rows at most, runs being merged; plan check
MIH_MAX_ROWS = 2**32  # rows: numbers of 32 bits; indexes/mih/bucket_tables.py
GRAPH_M = 24  # links a row, twice as many at level 0; indexes/hnsw, recall in docs/numbers.md
GRAPH_LINK = 4  # bytes a link: a row number of 32 bits; Faiss
GRAPH_ROW = 28  # bytes a row: level 4, offset 8, upper links 4 (Faiss), node 4, key 8; indexes/hnsw/graph.py
HNSW_TABLES = 66  # bytes a row in memory, lookup tables; plan check
HNSW_MAX_ROWS = 2**31  # rows: node numbers of 31 bits; indexes/hnsw/graph.py
EMBEDDED_BUFFERS = 4 * MB  # bytes in memory at any size; plan check
USABLE_MEMORY = 0.8  # of a machine, the rest is for the system and a reserve; choice
ADDING_COPIES = 2  # times the index at most, arrays being rewritten; plan check
ADDING_BATCH = 80 * MB  # bytes in memory, a batch being added; plan check

# Elasticsearch.
ES_DOCUMENT = 105  # bytes on disk without attributes, merged; plan check
ES_ATTRIBUTES = 0.15  # times their JSON: terms of a keyword field; plan check
ES_SHARD_BYTES = 50 * GB  # bytes a shard at most; Elasticsearch, Size your shards
ES_SHARD_ROWS = 200 * 10**6  # documents a shard at most; Elasticsearch, Size your shards
ES_MAX_HEAP = 26 * GB  # bytes at most, which keeps pointers compressed; Elasticsearch, Heap size
ES_HEAP_SHARE = 0.5  # of a machine's memory, the rest caches files; Elasticsearch, Heap size
ES_SMALL_HEAP = 0.5 * GB  # bytes with which a small node starts, searches and fills; engines
ES_MERGING = 1.5  # times the documents on disk; Elasticsearch, Disk watermarks; merges
ES_QUORUM = 3  # master-eligible nodes, two of which elect a master; Elasticsearch, Resilience
ES_SEARCH = 0.8e-3  # core seconds a view of the server, m = 5; plan check
ES_SEARCH_ROWS = 2e-9  # core seconds a document more: 300,000 and 1 million; plan check
ES_LEAD = 64  # documents visited for each of a tenant's: the rarest clause leads; Lucene

# Milvus.
MILVUS_BASE = 0.22 * GB  # bytes in memory, a small server; engines
MILVUS_LOADED = 45 * MB  # bytes in memory a node with a loaded collection: Go heap and buffers; plan check
MILVUS_FULL = 0.9  # of the query nodes' memory at most; Milvus, Load a partition
MILVUS_SEGMENT = 1024 * MB  # bytes a segment by default; Milvus, dataCoord.segment.maxSize
MILVUS_MAX_SEGMENT = 16 * 1024 * MB  # bytes, and twice that while its index is built; choice
MILVUS_MAX_SEGMENTS = 2000  # segments at most, all visited by a search of all tenants; choice
MILVUS_SCAN_ROWS = 20_000  # rows at most that are scanned; indexes/milvus/config.py
MILVUS_MAX_NODES = 48  # query nodes before a smaller index type is chosen, for the cost of running them; choice
MILVUS_NAMED = 64  # partitions by name at most, each managed and loaded by Milvus; choice
MILVUS_PARTITIONS = 1024  # partitions in a collection at most; Milvus, Use partition key
MILVUS_KEY_PARTITIONS = 16  # partitions of a key by default; Milvus, Use partition key
MILVUS_FIELDS = 24  # bytes a row on disk: id 8, tenant 8, time stamp 8, which Milvus adds; indexes/milvus
MILVUS_NODE = 72  # bytes a row of HNSW: counts, label, level, pointer, lock; hnswlib in Knowhere
MILVUS_OVERHEAD = 1.2  # times an index's bytes in memory, heap left over from loading; plan check
MILVUS_ROW = 280  # bytes a row in memory: fields, attributes as JSON, keys; plan check
MILVUS_SEARCH = 0.88e-3  # core seconds a segment of HNSW: 2,282/s, 100,000 rows; engines
IVF_LISTS = 1024  # lists a segment, 4 x the root of its rows; indexes/milvus/config.py
IVF_PROBES = 64  # lists, until tuned to a recall; indexes/milvus/config.py
DISK_MEMORY = 0.225  # of the vectors: pq_code_budget_gb_ratio, search_cache_budget_gb_ratio; Milvus, DISKANN
DISK_DEGREE = 56  # links a row, max_degree; Milvus, DISKANN
DISK_SECTOR = 4096  # bytes, a node fits in one sector; Subramanya et al., DiskANN, 2019
DISK_SEARCH = 3.2e-3  # core seconds: 5,000/s on 16 cores; Subramanya et al., 2019

# Searches of embedded indexes.
MIH_SEARCH = 0.16e-3  # core seconds a view: 10 million, p50; numbers
MIH_CANDIDATES = 2.1e-12  # core seconds a row more: 68 of 65,536 buckets, 2 ns a candidate; indexes/mih
SCAN_HASH = 1.3e-9  # core seconds a hash: 1 million in 1.24 ms; numbers
SCAN_FLOAT = 6.3e-10  # core seconds a number: 62/s, 100,000 x 512, two cores; engines
GRAPH_SEARCH = 1.58e-3  # core seconds: 100,000 rows, one caller; numbers
GRAPH_SEARCH_ROWS = 100_000  # rows of that, cost grows as their logarithm; Malkov and Yashunin, 2018
GRAPH_BUILD = 1.06e-3  # core seconds a row: 100,000 in 53 s, two cores; numbers

# Reading and encoding images, for adding and for queries.
READ = 2 / 1415  # core seconds to read, decode, hash and store 75 kB: 1,415/s, two cores; numbers
VGG16 = {"fp32": 2 / 6.7, "bf16": 2 / 14.3, "int8": 2 / 28.3}  # core seconds, two cores, bf16 with AMX; numbers
VGG16_COPY = {"fp32": VGG16["fp32"] / 7.6, "bf16": VGG16["fp32"] / 12.0}  # core seconds, by ratio to fp32; numbers
ADDING = 0.94  # of the encoder's speed alone, while adding; numbers
PROCESS = 90 * MB  # bytes in memory, a process with its libraries; plan check
NETWORK = 390 * MB  # bytes in memory, VGG16 in fp32 (bf16: 260 MB); plan check

# The catalog.
SQLITE_RECORD = 185 + 1.95 * 24 + 0.95 * 60  # bytes with a key of 24, also in its index, and a path of 60; plan check
SQLITE_ATTRIBUTES = 0.95  # times their JSON; plan check
SQLITE_HASH = 9  # bytes beside its own; plan check
SQLITE_PAGE = 4096  # bytes, SQLite's default; catalog/sqlite.py
SQLITE_ROW = 11  # bytes of a vector beside its own; SQLite, Database file format, 1.6
SQLITE_MAX_IMAGES = 100 * 10**6  # images in one file: 170 GB to copy and vacuum, one writer; choice
PG_RECORD = 340 + 2.15 * 24 + 1.03 * 60  # bytes with a key of 24, also in its index, and a path of 60; plan check
PG_ATTRIBUTES = 1.5  # times their JSON, as jsonb; plan check
PG_HASH = 67  # bytes beside its own: tuple 40, item 4, primary key 23; PostgreSQL, Database page layout; plan check
PG_PAGE = 8192 - 24  # bytes, PostgreSQL's default; PostgreSQL, Database page layout
PG_ROW = 40  # bytes of a vector beside its own: tuple 24, id 8, length 4, item 4; PostgreSQL, Database page layout
PG_PRIMARY_KEY = 23  # bytes a row; plan check
PG_PARTITION_ABOVE = 10**9  # images in one table, partitions beyond; catalog/schema.py
PG_PARTITION = 100 * 10**6  # images, vacuumed and indexed within about an hour; choice
CATALOG_RATE = 12_500  # images/s at most: PostgreSQL, partitioned, four writers, two cores; numbers
PG_MAX_PARTITIONS = 256  # partitions at most; catalog/schema.py
