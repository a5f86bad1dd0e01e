import { expect, it } from "vitest";
import { startTestServer } from "../fixtures/server.ts";
import type { Ended } from "./run.ts";

/** What every small program in `examples/` does that only needs a server; `run` gets the variables that it reads. */
export function defineExampleTests(name: string, run: (env: Readonly<Record<string, string>>) => Promise<Ended>): void {
  it(`${name} adds a factor and lists all; run again, it tells that the factor is there`, async () => {
    const server = await startTestServer();
    try {
      const env = { PORTCULLIS_URL: server.url, PORTCULLIS_TOKEN: server.adminToken };
      const factors = "second factors: SECOND_FACTOR_TYPE_OTP, SECOND_FACTOR_TYPE_U2F, SECOND_FACTOR_TYPE_OTP_SMS\n";
      const first = await run(env);
      expect(first).toMatchObject({ status: 0, stderr: "" });
      expect(first.stdout).toMatch(/^added\b/);
      expect(first.stdout).toContain(factors);
      const second = await run(env);
      expect(second).toMatchObject({ status: 0, stderr: "" });
      expect(second.stdout).toMatch(/^not added: .*Org-2B0ps/);
      expect(second.stdout).toContain(factors);
    } finally {
      await server.close();
    }
  });

  it(`${name} asks for the token where it is missing`, async () => {
    const { status, stderr } = await run({});
    expect(status).not.toBe(0);
    expect(stderr).toContain("set PORTCULLIS_TOKEN");
  });
}
