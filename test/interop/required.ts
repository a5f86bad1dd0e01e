/**
 * The rows that the table has to have: the clients by their folders, and their transports. Written out, so that a client or a
 * transport that gets lost is noticed.
 */
export const required: Readonly<Record<string, readonly string[]>> = {
  "buf-curl": [
    "gRPC",
    "gRPC, TLS",
    "gRPC, reflection v1alpha",
    "gRPC-Web, HTTP/2",
    "gRPC-Web, HTTP/2, TLS",
    "gRPC-Web, HTTP/2, reflection v1alpha",
    "gRPC-Web, HTTP/1.1, with a schema",
    "Connect, HTTP/2",
    "Connect, HTTP/2, TLS",
    "Connect, HTTP/2, reflection v1alpha",
    "Connect, HTTP/1.1, with a schema",
  ],
  connect: [
    "gRPC",
    "gRPC, TLS",
    "gRPC-Web, HTTP/1.1",
    "gRPC-Web, HTTP/1.1, TLS",
    "gRPC-Web, HTTP/2",
    "gRPC-Web, HTTP/2, TLS",
    "Connect, HTTP/1.1",
    "Connect, HTTP/1.1, TLS",
    "Connect, HTTP/2",
    "Connect, HTTP/2, TLS",
    "Connect JSON, HTTP/1.1",
    "Connect JSON, HTTP/2, TLS",
  ],
  curl: ["REST, HTTP/1.1", "REST, HTTP/2", "REST, upgrade offered", "REST, HTTP/1.1, TLS", "REST, HTTP/2, TLS"],
  "grpc-go": ["gRPC", "gRPC, TLS"],
  "grpc-js": ["gRPC", "gRPC, TLS"],
  "grpc-python": ["gRPC", "gRPC, TLS"],
  grpcurl: ["gRPC", "gRPC, TLS"],
  java: ["gRPC", "gRPC, TLS"],
  php: ["REST, HTTP/1.1", "REST, HTTP/1.1, TLS", "REST, HTTP/2", "REST, HTTP/2, TLS"],
  ruby: ["REST, HTTP/1.1", "REST, HTTP/1.1, TLS"],
  rust: ["gRPC", "gRPC, TLS"],
  "zitadel-client": ["gRPC (/node)", "gRPC (/node), TLS", "gRPC-Web (/web)", "gRPC-Web (/web), TLS"],
  "zitadel-node": ["gRPC", "gRPC, TLS"],
};

/** The suites of gRPC's own clients, and how many cases of each are run, in plaintext and over TLS. */
export const requiredSuites: Readonly<Record<string, number>> = { "grpc-suite-go": 16, "grpc-suite-java": 23 };
