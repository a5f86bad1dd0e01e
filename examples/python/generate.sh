#!/usr/bin/env bash
# Generates the stubs for Python from the folder that `npm run proto:export` wrote: generate.sh PROTOS OUT
#
# Google's annotations are left out: googleapis-common-protos, which grpcio-status brings, has their modules.
set -euo pipefail
protos=$1 out=$2

mkdir -p "$out"
"${PYTHON:-python3}" -m grpc_tools.protoc -I "$protos" --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  "$protos"/zitadel/*.proto "$protos"/validate/*.proto
