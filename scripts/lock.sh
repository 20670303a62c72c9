#!/usr/bin/env bash
# Compiles requirements/*.lock and deploy/requirements.lock from pyproject.toml: every version pinned, every file hashed,
# for any platform. Needs uv (pip install uv). Give --upgrade to move to newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements/constraints.in "$@"; }
run="--extra vgg16 --extra server"
compile pyproject.toml $run -o requirements/run.lock "$@"
compile requirements/build.in -o requirements/build.lock "$@"
engines="$run --extra elasticsearch --extra milvus --extra postgresql --extra remote --extra watch"
compile pyproject.toml --group dev $engines --extra ray -o requirements/dev.lock -c requirements/run.lock "$@"
compile pyproject.toml --group dev --group bench $engines --extra ray --extra int8 -o requirements/bench.lock "$@"
compile pyproject.toml $engines -c requirements/dev.lock -o deploy/requirements.lock "$@"
