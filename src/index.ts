import { createClients } from "./application/clients.ts";
import { createCredentials } from "./application/credentials.ts";
import { createIdSource } from "./application/ids.ts";
import { adminName, setUp } from "./application/set-up.ts";
import { createKeyFile, type KeyFile } from "./auth/issuer/key-file.ts";
import { checkNewPassword, hashPassword } from "./auth/issuer/password.ts";
import { digestToken, generateToken } from "./auth/token.ts";
import { createLog } from "./process/log.ts";
import { openServer } from "./server.ts";
import { openStore } from "./store/open.ts";
import { reportTo } from "./telemetry/report-failure.ts";

export type { KeyFile } from "./auth/issuer/key-file.ts";

/** A running server. */
export interface Server {
  /** `http://127.0.0.1:PORT`, for every protocol. It is also the identifier of the server's OpenID issuer. */
  readonly url: string;
  /** A token of `admin`, an instance owner (IAM_OWNER). */
  readonly adminToken: string;
  /** Creates a service account key of `admin`, in the form of ZITADEL's key files. */
  createKeyFile(): Promise<KeyFile>;
  /** Sets the password with which `admin` signs in. Rejects with an Error when it is too short. */
  setPassword(password: string): Promise<void>;
  /**
   * Registers a public application that signs people in with a code and PKCE, and resolves to its client id. Rejects with an Error
   * when the name is taken, or when a redirect URI is neither https nor on this machine.
   */
  addClient(client: { readonly name: string; readonly redirectUris: readonly string[] }): Promise<string>;
  /** Waits for calls in flight (10 s at most), then stops. The store is gone. */
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
      // A test that closes the server expects no further request.
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
