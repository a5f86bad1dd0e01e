import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { readTimeout, type TimeHeaderName } from "../../../../src/rpc/call/timeout.ts";

const grpc = "grpc-timeout" as const;
const connect = "connect-timeout-ms" as const;
const google = "x-server-timeout" as const;

const forms: Readonly<Record<string, string>> = {
  [grpc]: "up to 8 digits and one of the units H, M, S, m, u and n, such as 5S",
  [connect]: "milliseconds in up to 10 digits, such as 5000",
  [google]: "seconds in up to 10 digits, with up to 9 after a point or without, such as 1.5",
};

describe("readTimeout", () => {
  it.each<[name: TimeHeaderName, text: string, timeoutMs: number]>([
    [grpc, "1H", 3_600_000],
    [grpc, "2M", 120_000],
    [grpc, "3S", 3_000],
    [grpc, "4m", 4],
    [grpc, "5000u", 5],
    [grpc, "6000000n", 6],
    [grpc, "00000001S", 1_000],
    [grpc, "99999999m", 99_999_999],
    [grpc, "0S", 0],
    [grpc, "0n", 0],
    // No time at all is another thing than nearly none.
    [grpc, "1u", 1],
    [grpc, "1n", 1],
    [grpc, "1500u", 2],
    [connect, "0", 0],
    [connect, "1", 1],
    [connect, "2147483647", 2_147_483_647],
    [connect, "0000000005", 5],
    [google, "0", 0],
    [google, "1", 1_000],
    [google, "1.5", 1_500],
    [google, "0.001", 1],
    [google, "0.0001", 1],
    [google, "2147483.647", 2_147_483_647],
    [google, " 1 ", 1_000],
  ])("of %s: %s is %i ms", (name, text, timeoutMs) => {
    expect(readTimeout({ [name]: text }, name)).toEqual({ timeoutMs });
  });

  it.each([
    [grpc, "99999999H"],
    [grpc, "597H"],
    [connect, "2147483648"],
    [connect, "9999999999"],
    [google, "2147483.648"],
    [google, "9999999999.999999999"],
  ])("of %s: %s is none, for no timer can measure it", (name, text) => {
    expect(readTimeout({ [name]: text }, name)).toEqual({});
  });

  it.each([
    [grpc, ""],
    [grpc, "1"],
    [grpc, "S"],
    [grpc, "1s"],
    [grpc, "1h"],
    [grpc, "1 S"],
    [grpc, "-1S"],
    [grpc, "+1S"],
    [grpc, "1.5S"],
    [grpc, "100000000S"],
    [grpc, "1S, 2S"],
    [grpc, "NaN"],
    [grpc, "1constructor"],
    [connect, ""],
    [connect, "1.5"],
    [connect, "-1"],
    [connect, "1e3"],
    [connect, "0x10"],
    [connect, "10000000000"],
    [connect, "1, 1"],
    [connect, "Infinity"],
    [google, ""],
    [google, "-1"],
    [google, "1s"],
    [google, ".5"],
    [google, "1."],
    [google, "1e3"],
    [google, "NaN"],
    [google, "Infinity"],
    [google, "0.0000000001"],
    [google, "10000000000"],
  ])("of %s refuses %j", (name, text) => {
    const { error, timeoutMs } = readTimeout({ [name]: text }, name);
    const form = forms[name];
    expect([error?.code, error?.rawMessage, timeoutMs]).toEqual([
      Code.InvalidArgument,
      `the header ${name} is not a valid timeout: send ${form}`,
      undefined,
    ]);
    expect(error?.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: name, description: `send ${form}` },
    ]);
  });

  it.each<[headers: Record<string, string>, timeoutMs: number | undefined]>([
    [{}, undefined],
    [{ "x-other": "1" }, undefined],
    [{ [grpc]: "1S", [connect]: "500", [google]: "2" }, 500],
    [{ [grpc]: "1S", [connect]: "5000", [google]: "0.25" }, 250],
    [{ [grpc]: "1m", [connect]: "5000" }, 1],
    [{ [grpc]: "0S", [google]: "9" }, 0],
    // One that no timer can measure sets no bound, and takes none away.
    [{ [grpc]: "99999999H", [connect]: "5000" }, 5_000],
    [{ [connect]: "5000", [google]: "9999999999" }, 5_000],
  ])("of %o is the least", (headers, timeoutMs) => {
    expect(readTimeout(headers, grpc, connect, google)).toEqual(timeoutMs === undefined ? {} : { timeoutMs });
  });

  it.each(Object.entries(forms))("takes the example that it gives for %s", (name, form) => {
    const example = form.split(" ").at(-1) ?? "";
    expect(readTimeout({ [name]: example }, name as TimeHeaderName).timeoutMs).toBeGreaterThan(1_000);
  });

  it("refuses one header that says no time, whatever the others say", () => {
    const { error } = readTimeout({ [grpc]: "1S", [connect]: "1", [google]: "soon" }, grpc, connect, google);
    expect(error?.rawMessage).toMatch(/^the header x-server-timeout is not a valid timeout: /);
  });
});
