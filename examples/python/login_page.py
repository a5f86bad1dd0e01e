"""What a login page does: asks EvaluateSignIn what the person must do next, does it, and asks again. With Python alone, over REST.

Here the person has a password and an authenticator app, and every check succeeds.
"""

import json
import os
import sys
from datetime import datetime, timezone
from urllib.request import Request, urlopen

url = os.environ.get("PORTCULLIS_URL", "http://127.0.0.1:8080")
token = os.environ.get("PORTCULLIS_TOKEN")
if token is None:
    sys.exit("set PORTCULLIS_TOKEN, for example to what is in data/admin.token")
# A real page takes organizations/{organization}/loginPolicy, with the organization of the person.
policy = os.environ.get("PORTCULLIS_POLICY", "instance/loginPolicy")


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


def evaluate(sign_in: dict) -> dict:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = Request(f"{url}/portcullis/v1/{policy}:evaluateSignIn", json.dumps(sign_in).encode(), headers)
    with urlopen(request, timeout=10) as response:
        return json.load(response)


user = {"hasPassword": True, "secondFactors": ["SECOND_FACTOR_TYPE_OTP"]}
checks: list[dict] = []  # a real page keeps these in its session
sign_in = {"user": user, "checks": checks, "signInStartTime": now()}

while True:
    answer = evaluate(sign_in)
    why = " ".join(reason["message"] for reason in answer["reasons"])
    if not answer["steps"]:
        print(f"{answer['decision']}: {why}")
        break
    step = answer["steps"][0]
    print(f"{step['kind']}: {why}")
    if step["kind"] == "CHECK_PASSWORD":
        checks.append({"time": now(), "password": {}})
    elif step["kind"] == "CHECK_SECOND_FACTOR":
        checks.append({"time": now(), "secondFactor": {"type": step["secondFactors"][0]}})
    else:
        sys.exit(f"this example cannot do {step['kind']}")
