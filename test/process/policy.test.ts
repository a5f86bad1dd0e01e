import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, runCommand, runJson, type ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

// Commands that are clients of a running server.

let directory: TemporaryDirectory;
let server: ServerProcess;
let data: string;

beforeAll(async () => {
  directory = new TemporaryDirectory();
  data = directory.join("data");
  server = await startServer({ data });
  await runJson(data, "org", "add", "Acme GmbH", "--id", "acme");
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const connected = (...args: string[]): string[] => [
  "policy",
  ...args,
  "--server",
  server.url,
  "--token-file",
  join(data, "admin.token"),
];
const policy = (...args: string[]): Promise<Ended> => runCommand(connected(...args));
const json = async <T>(...args: string[]): Promise<T> => {
  const { exitCode, stdout, stderr } = await policy(...args, "--json");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(stdout) as T;
};
const failure = (exitCode: number, sentence: RegExp) => ({
  exitCode,
  signal: null,
  stdout: "",
  stderr: expect.stringMatching(sentence),
});

describe("portcullis policy", () => {
  it("shows the instance's policy, and that of an organization by its id or its name", async () => {
    const ofInstance = await policy("show");
    expect(ofInstance).toMatchObject({ exitCode: 0, stderr: "" });
    expect(ofInstance.stdout).toContain("\nforce_mfa: false\n");
    expect(ofInstance.stdout).toContain("\nsecond_factors: SECOND_FACTOR_TYPE_OTP, SECOND_FACTOR_TYPE_U2F\n");
    const name = "organizations/acme/loginPolicy";
    expect(await json("show", "--org", "acme")).toMatchObject({ name, origin: "INHERITED" });
    expect(await json("show", "--org", "Acme GmbH")).toMatchObject({ name, organizationDisplayName: "Acme GmbH" });
  });

  it("previews, changes, explains, lists and undoes", async () => {
    const org = ["--org", "acme"];
    const assignments = [
      "force_mfa=true",
      "second_factors=SECOND_FACTOR_TYPE_OTP_SMS",
      "password_check_lifetime=3600s",
    ];
    const previewed = await policy("set", ...assignments, "--preview", ...org);
    expect(previewed.stdout.split("\n")).toEqual([
      "force_mfa: false → true",
      "password_check_lifetime: 864000s → 3600s",
      "second_factors: -SECOND_FACTOR_TYPE_OTP -SECOND_FACTOR_TYPE_U2F +SECOND_FACTOR_TYPE_OTP_SMS",
      expect.stringMatching(/^warning: The only second factors are codes by SMS/),
      expect.stringMatching(/^warning: The organization stops inheriting/),
      "",
    ]);
    expect(await json("show", ...org)).toMatchObject({ origin: "INHERITED" });

    const changed = await json<{ revision: string }>("set", ...assignments, ...org);
    expect(changed).toMatchObject({ origin: "OWN", forceMfa: true, passwordCheckLifetime: "3600s" });
    const revision = changed.revision.replace(/^.*\//, "");
    expect((await policy("explain", ...org)).stdout).toMatch(/^force_mfa +true +organization /m);
    expect(await json("reset", ...org)).toMatchObject({ origin: "INHERITED", forceMfa: false });

    const history = (await policy("history", ...org)).stdout.split("\n");
    expect(history[1]).toMatch(/ reset +force_mfa: true → false; /);
    expect(history[2]).toMatch(new RegExp(`^${revision} .* copied `));
    expect(await json("history", "--limit", "1", ...org)).toMatchObject({
      loginPolicyRevisions: [{ cause: "RESET" }],
      nextPageToken: expect.stringMatching(/./),
    });
    expect(await json("rollback", revision, ...org)).toMatchObject({ origin: "OWN", forceMfa: true });
  });

  it("says in a sentence what is wrong", async () => {
    expect(await policy("set", "forceMfa=true")).toEqual(failure(1, /does not begin with the name of a setting/));
    expect(await policy("set", "force_mfa=maybe")).toEqual(
      failure(1, /^portcullis: a value does not fit its setting: force_mfa/),
    );
    expect(await policy("set", "default_redirect_uri=https://")).toEqual(failure(1, /\(IAM-SFdqd\)/));
    expect(await policy("show", "--org", "No such organization")).toEqual(failure(1, /no organization with the name/));
    expect(await policy("rollback", "999")).toEqual(
      failure(1, /has no revision instance\/loginPolicy\/revisions\/999/),
    );
    expect(await policy("rollback")).toEqual(failure(2, /missing required argument/));
    const elsewhere = ["policy", "show", "--server", "https://policies.example"];
    expect(await runCommand(elsewhere)).toEqual(failure(1, /name the file with a token for policies\.example/));
    const nobody = ["policy", "show", "--server", "http://127.0.0.1:1", "--token-file", join(data, "admin.token")];
    expect(await runCommand(nobody)).toEqual(failure(1, /^portcullis: the server at http:\/\/127\.0\.0\.1:1 says: /));
    expect(await runCommand(["policy", "show", "--server", "nowhere"])).toEqual(failure(1, /--server needs a URL/));
    const noFile = ["policy", "show", "--server", server.url, "--token-file", join(data, "none")];
    expect(await runCommand(noFile)).toEqual(failure(1, /cannot be read \(ENOENT\)/));
  });
});
