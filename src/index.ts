import { digestToken, generateToken } from "./auth/token.ts";
import { createDirectory } from "./commands/directory.ts";
import { createIdSource } from "./commands/ids.ts";
import { reportFailure } from "./log.ts";
import { openServer } from "./server.ts";
import { openStore } from "./store/open.ts";

/** A running server. */
export interface Server {
  /** `http://127.0.0.1:PORT`, for every protocol. */
  readonly url: string;
  /** A token of an instance owner (IAM_OWNER). */
  readonly adminToken: string;
  /** Lets calls in flight end (10 s at most), then stops and forgets everything. */
  close(): Promise<void>;
}

/**
 * Starts a fresh server on a free port of 127.0.0.1 with a store in memory, for tests and other programs. It holds one
 * instance with the default policy, one organization, and the user `admin`.
 */
export async function startServer(): Promise<Server> {
  const clock = Date.now;
  const store = await openStore({ location: "memory:" });
  try {
    const adminToken = generateToken();
    await createDirectory({ store, newId: createIdSource(clock), actor: "setup" }).setUp(digestToken(adminToken));
    const listener = await openServer({
      store,
      listen: { host: "127.0.0.1", port: 0 },
      corsOrigins: [],
      clock,
      report: reportFailure,
    });
    return {
      url: listener.url,
      adminToken,
      async close() {
        await listener.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
