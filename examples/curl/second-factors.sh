#!/usr/bin/env bash
# JSON over HTTP with curl: adds a second factor to the organization of the token's user, and lists all factors.
#
#   PORTCULLIS_TOKEN="$(cat data/admin.token)" bash examples/curl/second-factors.sh
set -euo pipefail

url="${PORTCULLIS_URL:-http://127.0.0.1:8080}/management/v1/policies/login/second_factors"
token="${PORTCULLIS_TOKEN:?set PORTCULLIS_TOKEN, for example to what is in data/admin.token}"

# Passes the header on standard input, to keep the token out of the process list.
call() {
  curl --silent --show-error --max-time 10 --config - --header 'Content-Type: application/json' "$@" <<END
header = "Authorization: Bearer $token"
END
}

# The body, and the status in the last line.
answer=$(call --write-out '\n%{http_code}' --data '{"type": "SECOND_FACTOR_TYPE_OTP_SMS"}' "$url")
body=${answer%$'\n'*}
status=${answer##*$'\n'}
if [ "$status" = 200 ]; then
  echo added
else
  # Every error has this form: {"code": …, "message": …, "details": [{"@type": …, "id": …}]}. Compare the id.
  id=$(sed -n 's/.*"id":"\([^"]*\)".*/\1/p' <<<"$body")
  echo "not added: HTTP $status, id $id"
  [ "$id" = Org-2B0ps ] || exit 1 # any other error than "already there"
fi

# With --fail-with-body, curl exits with 22 if the server refuses the call.
listed=$(call --fail-with-body --data '{}' "$url/_search")
echo "second factors: $(grep -o 'SECOND_FACTOR_TYPE_[A-Z0-9_]*' <<<"$listed" | paste -sd ' ' | sed 's/ /, /g')"
