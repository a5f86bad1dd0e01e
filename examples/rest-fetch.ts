// JSON over HTTP with fetch alone: adds a second factor to the organization of the token's user, and lists all factors.
//
//   PORTCULLIS_TOKEN="$(cat data/admin.token)" npm exec -- node examples/rest-fetch.ts
const url = process.env["PORTCULLIS_URL"] ?? "http://127.0.0.1:8080";
const token = process.env["PORTCULLIS_TOKEN"];
if (token === undefined) throw new Error("set PORTCULLIS_TOKEN, for example to what is in data/admin.token");

const secondFactors = `${url}/management/v1/policies/login/second_factors`;
const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };

const added = await fetch(secondFactors, {
  method: "POST",
  headers,
  body: JSON.stringify({ type: "SECOND_FACTOR_TYPE_OTP_SMS" }),
});
if (added.ok) {
  // The first change gives an organization its own policy, which no longer follows the instance.
  const isOwnNow = added.headers.get("portcullis-policy") === "created";
  console.log(`added${isOwnNow ? "; the organization has a login policy of its own from now on" : ""}`);
} else {
  // Every error has this form. `code` is a gRPC code. Compare the ids in `details`, not the texts.
  const error = (await added.json()) as { code: number; message: string; details: { id?: string }[] };
  console.log(`not added: HTTP ${added.status}, code ${error.code}, id ${error.details[0]?.id}: ${error.message}`);
}

const listed = await fetch(`${secondFactors}/_search`, { method: "POST", headers });
if (!listed.ok) throw new Error(`the list failed: ${await listed.text()}`);
const { result } = (await listed.json()) as { result: string[] };
console.log(`second factors: ${result.join(", ")}`);
