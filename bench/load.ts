import { Agent, request as httpRequest } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";

/** A request that is sent over and over. */
export interface Target {
  readonly url: string;
  readonly protocol: "grpc" | "rest";
  readonly verb: string;
  readonly path: string;
  readonly token: string;
}

export interface Load {
  readonly connections: number;
  /** Requests at once on each connection; HTTP/1.1 has one. */
  readonly streams: number;
  readonly seconds: number;
}

const emptyFrame = Buffer.alloc(5);

/**
 * Sends for the given time and resolves to the answers per second. Every answer must be a success with a body, and all
 * bodies must have the length of the first: an error would be a fast answer.
 */
export async function measure(target: Target, load: Load): Promise<number> {
  const check = createCheck();
  const connections = await Promise.all(
    Array.from({ length: load.connections }, () => (target.protocol === "grpc" ? openGrpc(target) : openRest(target))),
  );
  await run(connections, { ...load, seconds: Math.min(1, load.seconds), check });
  const rate = await run(connections, { ...load, check });
  for (const { close } of connections) close();
  return rate;
}

interface Connection {
  /** Sends one request; resolves to the length of the answer's body. */
  send(): Promise<number>;
  close(): void;
}

async function run(
  connections: readonly Connection[],
  options: Load & { readonly check: (length: number) => void },
): Promise<number> {
  const started = performance.now();
  const end = started + options.seconds * 1000;
  let answers = 0;
  const work = async ({ send }: Connection) => {
    while (performance.now() < end) {
      options.check(await send());
      answers += 1;
    }
  };
  await Promise.all(connections.flatMap((one) => Array.from({ length: options.streams }, () => work(one))));
  return answers / ((performance.now() - started) / 1000);
}

function createCheck(): (length: number) => void {
  let first: number | undefined;
  return (length) => {
    first ??= length;
    if (length === 0 || length !== first) throw new Error(`an answer of ${length} bytes among those of ${first}`);
  };
}

async function openGrpc({ url, path, token }: Target): Promise<Connection> {
  const session: ClientHttp2Session = connect(url);
  await new Promise((resolve, reject) => session.once("connect", resolve).once("error", reject));
  const headers = {
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: path,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${token}`,
  };
  return {
    send: () =>
      new Promise((resolve, reject) => {
        const stream = session.request(headers);
        let length = 0;
        let status: unknown;
        const look = (received: { "grpc-status"?: unknown }) => {
          status = received["grpc-status"] ?? status;
        };
        stream.on("response", look).on("trailers", look);
        stream.on("data", (chunk: Buffer) => {
          length += chunk.length;
        });
        stream.on("error", reject);
        stream.on("end", () => (status === "0" ? resolve(length) : reject(new Error(`grpc-status ${status}`))));
        stream.end(emptyFrame);
      }),
    close: () => session.close(),
  };
}

async function openRest({ url, verb, path, token }: Target): Promise<Connection> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const options = { method: verb, agent, headers: { authorization: `Bearer ${token}` } };
  return {
    send: () =>
      new Promise((resolve, reject) => {
        const sent = httpRequest(url + path, options, (response) => {
          let length = 0;
          response.on("data", (chunk: Buffer) => {
            length += chunk.length;
          });
          response.on("end", () =>
            response.statusCode === 200 ? resolve(length) : reject(new Error(`HTTP ${response.statusCode}`)),
          );
        });
        sent.on("error", reject);
        sent.end();
      }),
    close: () => agent.destroy(),
  };
}
