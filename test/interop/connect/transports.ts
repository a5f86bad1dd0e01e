/** The rows of the table, and what each is made with. gRPC is always over HTTP/2. */
export const transports = {
  gRPC: { protocol: "gRPC", httpVersion: "2" },
  "gRPC, TLS": { protocol: "gRPC", httpVersion: "2" },
  "gRPC-Web, HTTP/1.1": { protocol: "gRPC-Web", httpVersion: "1.1" },
  "gRPC-Web, HTTP/1.1, TLS": { protocol: "gRPC-Web", httpVersion: "1.1" },
  "gRPC-Web, HTTP/2": { protocol: "gRPC-Web", httpVersion: "2" },
  "gRPC-Web, HTTP/2, TLS": { protocol: "gRPC-Web", httpVersion: "2" },
  "Connect, HTTP/1.1": { protocol: "Connect", httpVersion: "1.1" },
  "Connect, HTTP/1.1, TLS": { protocol: "Connect", httpVersion: "1.1" },
  "Connect, HTTP/2": { protocol: "Connect", httpVersion: "2" },
  "Connect, HTTP/2, TLS": { protocol: "Connect", httpVersion: "2" },
  "Connect JSON, HTTP/1.1": { protocol: "Connect JSON", httpVersion: "1.1" },
  "Connect JSON, HTTP/2, TLS": { protocol: "Connect JSON", httpVersion: "2" },
} as const;
