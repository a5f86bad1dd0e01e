import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Order } from "./attacker.ts";
import { end, generatorCpu, pin, remember, root } from "./processes.ts";

/** It shares the generator's CPU, which has the generator first by default, and leaves the server its own. */
export function startAttacker({ niceness = 19 } = {}) {
  const nice = ["nice", "-n", String(niceness)];
  const [file, ...args] = pin([...nice, process.execPath, "bench/attacker.ts"], generatorCpu);
  const child = spawn(file, args, { cwd: root, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  remember(child);
  return {
    /** Resolves when it has begun, or stopped. */
    async tell(order: Order) {
      const done = once(child, "message");
      child.send(order);
      await done;
    },
    stop: () => end(child),
  };
}
