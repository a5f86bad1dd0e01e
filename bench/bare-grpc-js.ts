// A bare @grpc/grpc-js server: it answers every call with the bytes it was given, without authentication or store.
import { Server, ServerCredentials } from "@grpc/grpc-js";

const answers = JSON.parse(process.argv[2] ?? "{}") as Record<string, string>;
const server = new Server();
server.addService(
  Object.fromEntries(
    Object.keys(answers).map((path) => [
      path,
      {
        path,
        requestStream: false,
        responseStream: false,
        requestDeserialize: (bytes: Buffer) => bytes,
        requestSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Buffer) => bytes,
      },
    ]),
  ),
  Object.fromEntries(
    Object.entries(answers).map(([path, base64]) => {
      const bytes = Buffer.from(base64, "base64");
      return [path, (_: unknown, callback: (error: null, value: Buffer) => void) => callback(null, bytes)];
    }),
  ),
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`serves on http://127.0.0.1:${port};\n`);
});
