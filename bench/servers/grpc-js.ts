// A bare @grpc/grpc-js server: it answers fixed bytes, and neither decodes nor encodes a message.
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { announce, readAnswers } from "./answer.ts";

const same = (bytes: Buffer) => bytes;
const server = new Server();
for (const [path, { body }] of readAnswers()) {
  // The library adds the frame itself.
  const message = body.subarray(5);
  server.addService(
    {
      call: {
        path,
        requestStream: false,
        responseStream: false,
        requestDeserialize: same,
        requestSerialize: same,
        responseDeserialize: same,
        responseSerialize: same,
      },
    },
    { call: (_: unknown, callback: (error: null, value: Buffer) => void) => callback(null, message) },
  );
}
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  announce(port);
});
