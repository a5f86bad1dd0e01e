#!/usr/bin/env bash
# Compares proto/ as it is in the working tree with the last release or, where there is none, with the commit before; $AGAINST
# names another commit. Google's files come from npm and not from git, so they are added to the archive.
set -euo pipefail
against=${AGAINST:-$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse --short HEAD~1)}
google=node_modules/google-proto-files/google/api
imported=()
for name in annotations field_behavior http resource; do imported+=(--add-file="$google/$name.proto"); done
git archive --format=tar --prefix="$google/" "${imported[@]}" --prefix= "$against" buf.yaml proto src/rpc/proto | npx buf breaking proto --against '-#format=tar,subdir=proto'
if git diff --quiet "$against" -- proto; then changed="is unchanged since"; else changed="breaks no client of"; fi
echo "proto/ $changed $against"
