/** The rows of the table: options of curl, and the HTTP version that the answers have. */
export const transports = {
  "REST, HTTP/1.1": { options: ["--http1.1"], version: "1.1" },
  "REST, HTTP/2": { options: ["--http2-prior-knowledge"], version: "2" },
  // It sends `Upgrade: h2c`, which no server has to take.
  "REST, upgrade offered": { options: ["--http2"], version: "1.1" },
  "REST, HTTP/1.1, TLS": { options: ["--http1.1"], version: "1.1" },
  "REST, HTTP/2, TLS": { options: ["--http2"], version: "2" },
} as const;
