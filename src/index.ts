import { createClients } from "./application/clients.ts";
import { createCredentials } from "./application/credentials.ts";
import { createIdSource } from "./application/ids.ts";
import { adminName, setUp } from "./application/set-up.ts";
import { createKeyFile, type KeyFile } from "./auth/issuer/key-file.ts";
import { checkNewPassword, hashPassword } from "./auth/issuer/password.ts";
import { digestToken, generateToken } from "./auth/token.ts";
import { createLog } from "./process/log.ts";
import { reportTo } from "./process/report.ts";
import { openServer } from "./server.ts";
import { openStore } from "./store/open.ts";

export type { KeyFile } from "./auth/issuer/key-file.ts";

/** A running server. */
export interface Server {
  /** `http://127.0.0.1:PORT`, for every protocol; also the identifier of its OpenID issuer, which loads when it is first asked. */
  readonly url: string;
  /** A token of `admin`, an instance owner (IAM_OWNER). */
  readonly adminToken: string;
  /** A new service account key of `admin` in ZITADEL's form, for programs that take such a file. */
  createKeyFile(): Promise<KeyFile>;
  /** Lets `admin` sign in with this password, in place of the one before. Rejects with an Error where it is too short. */
  setPassword(password: string): Promise<void>;
  /**
   * Registers a public application that signs people in with a code and PKCE. Resolves to its client id. Rejects with an Error
   * for a name that is taken, and for a redirect URI that is neither https nor on this machine.
   */
  addClient(client: { readonly name: string; readonly redirectUris: readonly string[] }): Promise<string>;
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
    const asSetup = { store, newId: createIdSource(clock), actor: "setup" };
    const credentials = createCredentials(asSetup);
    const clients = createClients(asSetup);
    const adminToken = generateToken();
    await setUp(asSetup, digestToken(adminToken));
    const listener = await openServer({
      store,
      listen: { host: "127.0.0.1", port: 0 },
      corsOrigins: [],
      issuer: {},
      // Who closes it knows that nothing is on its way.
      drainQuietMs: 0,
      clock,
      report: reportTo(await createLog({ level: "error", format: "json" })),
    });
    return {
      url: listener.url,
      adminToken,
      createKeyFile: () => createKeyFile(credentials, { userName: adminName }),
      async setPassword(password) {
        const problem = checkNewPassword(password);
        if (problem !== undefined) throw new Error(problem);
        await credentials.setPassword({ userName: adminName, hash: await hashPassword(password) });
      },
      addClient: (client) => clients.add(client),
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
