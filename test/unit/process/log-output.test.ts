import { expect, it } from "vitest";
import { createLogOutput } from "../../../src/process/log-output.ts";

/** A place for bytes that takes none until it is told to. */
function openSink() {
  let pending: { readonly text: string; readonly done: (error?: Error) => void } | undefined;
  const taken: string[] = [];
  return {
    taken,
    write(bytes: Buffer, done: (error?: Error | null) => void) {
      if (pending !== undefined) throw new Error("two writes at once");
      pending = { text: bytes.toString(), done };
    },
    writeSync: (bytes: Buffer) => void taken.push(bytes.toString()),
    get isBusy() {
      return pending !== undefined;
    },
    take(error?: Error) {
      const taking = pending;
      pending = undefined;
      if (taking !== undefined && error === undefined) taken.push(taking.text);
      taking?.done(error);
    },
  };
}

type Sink = ReturnType<typeof openSink>;

function takeAll(sink: Sink): string {
  while (sink.isBusy) sink.take();
  return sink.taken.join("");
}

it("writes the first line at once, and those that come meanwhile together", () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  for (const line of ["one\n", "two\n", "three\n"]) output.write(line);
  expect(takeAll(sink)).toBe("one\ntwo\nthree\n");
  expect(sink.taken).toEqual(["one\n", "two\nthree\n"]);
});

it("keeps a megabyte for a reader that has stopped, counts what is more, and says so when lines are taken again", () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  output.onLost = (lines) => output.write(`${lines} lost\n`);
  const line = `${"x".repeat(1023)}\n`;
  for (let lines = 0; lines < 5000; lines += 1) output.write(line);
  // The first is on its way, and 1024 wait.
  expect(output.lost).toEqual({ full: 5000 - 1025, failed: 0 });
  const text = takeAll(sink);
  expect(text.length).toBe(1025 * 1024 + "3975 lost\n".length);
  expect(text).toContain("\n3975 lost\n");
  expect(text.split("\n").filter((one) => one.endsWith("lost"))).toHaveLength(1);
  output.write("after\n");
  expect(takeAll(sink).endsWith("after\n")).toBe(true);
  expect(output.lost).toEqual({ full: 3975, failed: 0 });
});

it("counts lines that could not be written, and goes on with the next", () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  output.onLost = (lines) => output.write(`${lines} lost\n`);
  for (const line of ["one\n", "two\n", "three\n"]) output.write(line);
  sink.take(new Error("no space"));
  sink.take(new Error("no space"));
  expect(output.lost).toEqual({ full: 0, failed: 3 });
  output.write("four\n");
  expect(takeAll(sink)).toBe("four\n3 lost\n");
});

it("flushes until everything is written, or for as long as it is told to", async () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  await output.flush(60_000);
  output.write("one\n");
  output.write("two\n");
  const flushed = output.flush(60_000);
  takeAll(sink);
  await flushed;
  output.write("stuck\n");
  await output.flush(1);
  expect(sink.taken.join("")).toBe("one\ntwo\n");
});

it("writes what waits at the last moment, as far as it is taken", () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  for (const line of ["on its way\n", "two\n", "three\n"]) output.write(line);
  output.flushSync();
  expect(sink.taken).toEqual(["two\nthree\n"]);
  const full = createLogOutput({
    ...sink,
    write: () => {},
    writeSync: () => {
      throw new Error("EAGAIN");
    },
  });
  full.write("one\n");
  full.write("two\n");
  full.flushSync();
  expect(sink.taken).toHaveLength(1);
});

it("takes a line of any length", () => {
  const sink = openSink();
  const output = createLogOutput(sink);
  const long = `${"x".repeat(200_000)}\n`;
  for (const line of [long, "short\n", long]) output.write(line);
  expect(takeAll(sink)).toBe(`${long}short\n${long}`);
});
