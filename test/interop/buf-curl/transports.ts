/**
 * The rows of the table: the protocol, and where buf curl has the schema from. Where it asks the server's reflection, by the same
 * protocol, all is over HTTP/2; with the exported file it speaks HTTP/1.1 in plaintext, except for gRPC.
 */
export const transports = {
  gRPC: { protocol: "grpc", schema: "grpc-v1" },
  "gRPC, TLS": { protocol: "grpc", schema: "grpc-v1" },
  "gRPC, reflection v1alpha": { protocol: "grpc", schema: "grpc-v1alpha" },
  "gRPC-Web, HTTP/2": { protocol: "grpcweb", schema: "grpc-v1" },
  "gRPC-Web, HTTP/2, TLS": { protocol: "grpcweb", schema: "grpc-v1" },
  "gRPC-Web, HTTP/2, reflection v1alpha": { protocol: "grpcweb", schema: "grpc-v1alpha" },
  "gRPC-Web, HTTP/1.1, with a schema": { protocol: "grpcweb", schema: "file" },
  "Connect, HTTP/2": { protocol: "connect", schema: "grpc-v1" },
  "Connect, HTTP/2, TLS": { protocol: "connect", schema: "grpc-v1" },
  "Connect, HTTP/2, reflection v1alpha": { protocol: "connect", schema: "grpc-v1alpha" },
  "Connect, HTTP/1.1, with a schema": { protocol: "connect", schema: "file" },
} as const;
