#!/usr/bin/env bash
# Compares proto/ with that of a branch or tag ($AGAINST, by default main). Google's files come from npm and not from git,
# so they are added to the archive that buf compares with.
set -euo pipefail
against=${AGAINST:-main}
google=node_modules/google-proto-files/google/api
git rev-parse --quiet --verify "$against:proto" >/dev/null || { echo "nothing to compare with: $against has no proto/"; exit 1; }
git archive --format=tar --prefix="$google/" --add-file="$google/annotations.proto" --add-file="$google/http.proto" \
  --prefix= "$against" buf.yaml proto | npx buf breaking proto --against '-#format=tar,subdir=proto'
