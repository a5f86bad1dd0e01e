import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** How late answers come: more than any deadline of the script, and less than a client's patience without one. */
const delayMs = 2000;

/** A TCP proxy on a free port of this machine that holds every byte of the answers for 2 s. */
export async function openSlowProxy(serverUrl: string): Promise<{ readonly url: string; close(): Promise<void> }> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    for (const socket of [client, server]) {
      sockets.add(socket);
      // Clients that gave up reset connections; what was on its way is of no use then.
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    }
    client.pipe(server);
    client.on("close", () => server.destroy());
    server.on("data", (bytes) => setTimeout(() => client.write(bytes), delayMs).unref());
    server.on("end", () => setTimeout(() => client.end(), delayMs).unref());
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const url = new URL(serverUrl);
  url.port = String((proxy.address() as AddressInfo).port);
  return {
    url: url.origin,
    async close() {
      const closed = once(proxy, "close");
      proxy.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
