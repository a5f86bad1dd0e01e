/**
 * The rows of the table, and options of buf curl. Where it asks the server's reflection for the schema, all is over HTTP/2;
 * with a schema of its own it speaks HTTP/1.1 in plaintext, except for gRPC.
 */
export const transports = {
  gRPC: ["--protocol", "grpc"],
  "gRPC, TLS": ["--protocol", "grpc"],
  "gRPC-Web, HTTP/2": ["--protocol", "grpcweb"],
  "gRPC-Web, HTTP/2, TLS": ["--protocol", "grpcweb"],
  "Connect, HTTP/2": ["--protocol", "connect"],
  "Connect, HTTP/2, TLS": ["--protocol", "connect"],
  "gRPC, reflection v1alpha": ["--protocol", "grpc", "--reflect-protocol", "grpc-v1alpha"],
  "gRPC-Web, HTTP/1.1, with a schema": ["--protocol", "grpcweb", "--schema"],
  "Connect, HTTP/1.1, with a schema": ["--protocol", "connect", "--schema"],
} as const;
