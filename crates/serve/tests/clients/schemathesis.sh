#!/usr/bin/env bash
# Requests that schemathesis (PyPI) makes up from the OpenAPI document: bash schemathesis.sh PERCEPT RUN SCHEMATHESIS. None may be answered
# with a status of 500 or above, nor with one that the document doesn't have, and the server must live afterwards.
set -euo pipefail
percept=$1 run=$2 schemathesis=$3
work=$(mktemp -d)
"$percept" --json serve "run=$run" --listen 127.0.0.1:0 --max-tokens 8 >"$work/listening" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do [ -s "$work/listening" ] && break; sleep 0.1; done
address=$(python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["address"])' <"$work/listening")
cd "$work"
"$schemathesis" run "http://$address/openapi.json" --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
  --max-examples "${EXAMPLES:-100}" --seed 1 --request-timeout 60 --no-color
python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1])' "http://$address/health"
echo "schemathesis finds nothing"
