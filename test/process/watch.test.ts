import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { program, TemporaryDirectory } from "./portcullis.ts";

// What `npm run dev` runs. Node then sends messages of its own from the thread that writes.
it("serves under node --watch, where nothing was set up yet", async () => {
  using directory = new TemporaryDirectory();
  const flags = ["serve", "--listen", "127.0.0.1:0", "--data", directory.join("data")];
  const watcher = spawn(process.execPath, ["--watch", program, ...flags], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    // What goes wrong ends the output without it.
    let written = "";
    for await (const chunk of watcher.stdout.setEncoding("utf8")) {
      written += chunk;
      if (written.includes("\n")) break;
    }
    expect(written).toMatch(/^portcullis serves on http:/);
  } finally {
    const ended = once(watcher, "exit");
    watcher.kill("SIGTERM");
    await ended;
  }
});
