// What a login page does: asks EvaluateSignIn what the person must do next, does it, and asks again. Here the person has a password and an
// authenticator app, and every check succeeds.
//
//   PORTCULLIS_TOKEN="$(cat data/admin.token)" npm exec -- node examples/login-page.ts
const url = process.env["PORTCULLIS_URL"] ?? "http://127.0.0.1:8080";
const token = process.env["PORTCULLIS_TOKEN"];
if (token === undefined) throw new Error("set PORTCULLIS_TOKEN, for example to what is in data/admin.token");
// A real page takes organizations/{organization}/loginPolicy, with the organization of the person.
const policy = process.env["PORTCULLIS_POLICY"] ?? "instance/loginPolicy";

interface Answer {
  readonly decision: "ALLOWED" | "STEP_REQUIRED" | "IMPOSSIBLE";
  readonly steps: readonly {
    readonly kind: string;
    readonly secondFactors: readonly string[];
    readonly skippable: boolean;
  }[];
  readonly reasons: readonly { readonly path: string; readonly message: string }[];
}

const signInStartTime = new Date().toISOString();
const user = { hasPassword: true, secondFactors: ["SECOND_FACTOR_TYPE_OTP"] };
/** A real page keeps these in its session. */
const checks: object[] = [];

for (;;) {
  const response = await fetch(`${url}/portcullis/v1/${policy}:evaluateSignIn`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ user, checks, signInStartTime }),
  });
  if (!response.ok) throw new Error(`the evaluation failed: ${await response.text()}`);
  const { decision, steps, reasons } = (await response.json()) as Answer;
  const why = reasons.map(({ message }) => message).join(" ");
  const [step] = steps;
  console.log(step === undefined ? `${decision}: ${why}` : `${step.kind}: ${why}`);
  if (step === undefined) break;
  const time = new Date().toISOString();
  if (step.kind === "CHECK_PASSWORD") checks.push({ time, password: {} });
  else if (step.kind === "CHECK_SECOND_FACTOR") checks.push({ time, secondFactor: { type: step.secondFactors[0] } });
  else throw new Error(`this example cannot do ${step.kind}`);
}
