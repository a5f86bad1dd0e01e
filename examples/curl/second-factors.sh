#!/usr/bin/env bash
# JSON over HTTP with curl: adds a second factor to the organization of the token's user, and lists all.
#
#   PORTCULLIS_TOKEN="$(cat data/admin.token)" bash examples/curl/second-factors.sh
set -euo pipefail

url="${PORTCULLIS_URL:-http://127.0.0.1:8080}/management/v1/policies/login/second_factors"
token="${PORTCULLIS_TOKEN:?set PORTCULLIS_TOKEN, for example to what is in data/admin.token}"

# Reads the configuration that names the header from standard input, so that the token is in no list of processes.
call() {
  curl --silent --show-error --max-time 10 --config - --header 'Content-Type: application/json' "$@" <<END
header = "Authorization: Bearer $token"
END
}

# The body and, in a last line, the status.
answer=$(call --write-out '\n%{http_code}' --data '{"type": "SECOND_FACTOR_TYPE_OTP_SMS"}' "$url")
body=${answer%$'\n'*}
status=${answer##*$'\n'}
if [ "$status" = 200 ]; then
  echo added
else
  # Every error has this form: {"code": …, "message": …, "details": [{"@type": …, "id": …}]}. Tell cases apart by the id.
  id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$body")
  echo "not added: HTTP $status, id $id"
  [ "$id" = Org-2B0ps ] || exit 1 # anything else than "is there already"
fi

# With --fail-with-body, curl itself ends with 22 where the server refuses.
listed=$(call --fail-with-body --data '{}' "$url/_search")
echo "second factors: $(grep -o 'SECOND_FACTOR_TYPE_[A-Z0-9_]*' <<<"$listed" | paste -sd ' ' | sed 's/ /, /g')"
