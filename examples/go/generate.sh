#!/usr/bin/env bash
# Generates the stubs for Go into gen/ of the module in this folder, from the output of `npm run proto:export`:
# generate.sh PROTOS
#
# The go_package of the files is in a module that does not exist, portcullis. M options move the packages into your module. The
# packages of Google's annotations are in google.golang.org/genproto.
set -euo pipefail
protos=$(realpath "$1")
module=$(go list -m)

GOBIN=$PWD/bin go install tool # protoc-gen-go and protoc-gen-go-grpc, in the versions of go.mod
options=()
cd "$protos"
files=(zitadel/*.proto validate/*.proto)
for file in "${files[@]}"; do
  package=$(sed -n 's|^option go_package = "portcullis/\(.*\)";|\1|p' "$file") # such as gen/zitadel/policy/v1;policyv1
  options+=("--go_opt=M$file=$module/$package" "--go-grpc_opt=M$file=$module/$package")
done
cd - >/dev/null
PATH=$PWD/bin:$PATH protoc -I "$protos" --go_out=. --go_opt="module=$module" --go-grpc_out=. \
  --go-grpc_opt="module=$module" "${options[@]}" "${files[@]}"
