#!/usr/bin/env bash
# Generates the stubs for Python from the output of `npm run proto:export`: generate.sh PROTOS OUT
#
# The modules of Google's annotations are in googleapis-common-protos, which grpcio-status brings.
set -euo pipefail
protos=$1 out=$2

mkdir -p "$out"
"${PYTHON:-python3}" -m grpc_tools.protoc -I "$protos" --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  "$protos"/zitadel/*.proto "$protos"/validate/*.proto
