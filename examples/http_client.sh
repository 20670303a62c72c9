#!/usr/bin/env bash
# Add, search, compare and delete images over HTTP.
#
#     lookalike serve &                                  # in another terminal
#     examples/http_client.sh PHOTO COPY [URL]
#
# With API keys, set LOOKALIKE_KEY. Every route is described in docs/api.md and at URL/v1/openapi.json.
set -euo pipefail
photo=$1 copy=$2 url=${3:-http://127.0.0.1:8000}
request=(curl --silent --show-error --fail-with-body)
[ -z "${LOOKALIKE_KEY:-}" ] || request+=(--header "Authorization: Bearer $LOOKALIKE_KEY")

echo "add:";     "${request[@]}" -X PUT -F "file=@$photo" -F 'attributes={"album": "examples"}' "$url/v1/images/example"; echo
echo "search:";  "${request[@]}" -F "file=@$copy" "$url/v1/search?k=3"; echo
echo "compare:"; "${request[@]}" -F "a=@$photo" -F "b=@$copy" "$url/v1/compare"; echo
echo "delete:";  "${request[@]}" -X DELETE "$url/v1/images/example"
