import { describe, expect, it } from "vitest";
import { untilAborted } from "../../../../src/rpc/call/until-aborted.ts";

describe("untilAborted", () => {
  it("is what the work comes to", async () => {
    const { signal } = new AbortController();
    expect(await untilAborted(Promise.resolve(7), signal)).toBe(7);
    await expect(untilAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
  });

  it("ends with the reason of the signal where the work goes on without looking at it", async () => {
    const call = new AbortController();
    const ended = untilAborted(new Promise(() => {}), call.signal);
    call.abort(new Error("time is over"));
    await expect(ended).rejects.toThrow("time is over");
    await expect(untilAborted(new Promise(() => {}), call.signal)).rejects.toThrow("time is over");
  });

  it("takes no notice of how the work ends after that", async () => {
    const call = new AbortController();
    let fail = (_: Error) => {};
    const ended = untilAborted(
      new Promise((_, reject) => {
        fail = reject;
      }),
      call.signal,
    );
    call.abort(new Error("time is over"));
    fail(new Error("too late"));
    await expect(ended).rejects.toThrow("time is over");
  });
});
