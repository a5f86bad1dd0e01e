# The server as a container image: docker build -t portcullis .
# docs/operating.md shows how to run it; compose.yaml runs it with PostgreSQL.

# Builds the package from the sources. Install scripts are off: the base image has Node, and the other scripts are for tests.
FROM docker.io/library/node:24-bookworm-slim AS package
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
COPY src/rpc/package.json src/rpc/
RUN ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
COPY . .
RUN ["npm", "run", "build"]
RUN ["npm", "pack", "--ignore-scripts", "--pack-destination", "/tmp", "./dist/rpc", "."]
RUN tar -xzf /tmp/portcullis-[0-9]*.tgz -C /tmp && chmod 755 /tmp/package/bin/portcullis.js
RUN mkdir /tmp/rpc && tar -xzf /tmp/portcullis-rpc-*.tgz -C /tmp/rpc

# Installs the dependencies in the versions of package-lock.json. The optional package that exports traces is added, so that
# setting OTEL_EXPORTER_OTLP_ENDPOINT is enough.
FROM docker.io/library/node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY src/rpc/package.json src/rpc/
RUN npm install --omit=dev --ignore-scripts --no-audit --no-fund --save-prod --save-exact \
    "@opentelemetry/sdk-node@$(node -p 'require("./package.json").devDependencies["@opentelemetry/sdk-node"]')"
# A link to the sources, in place of which the package comes.
RUN ["rm", "node_modules/@portcullis/rpc"]

FROM docker.io/library/node:24-bookworm-slim
ENV NODE_ENV=production \
    PORTCULLIS_DATA=/data \
    SQLITE_TMPDIR=/data \
    PORTCULLIS_LISTEN=0.0.0.0:8080 \
    PORTCULLIS_DEBUG_LISTEN=0.0.0.0:8081
WORKDIR /app
# For commands such as docker exec CONTAINER portcullis token list.
RUN ["ln", "--symbolic", "/app/bin/portcullis.js", "/usr/local/bin/portcullis"]
RUN ["install", "--directory", "--owner=1000", "--group=1000", "--mode=700", "/data"]
COPY --from=dependencies /app/node_modules node_modules
COPY --from=package /tmp/rpc/package node_modules/@portcullis/rpc
COPY --from=package /tmp/package .
# By number, so that Kubernetes can check that it is not root. This user owns only /data; the rest may be mounted read-only.
USER 1000:1000
VOLUME ["/data"]
EXPOSE 8080
# Metrics and readiness are on port 8081, in plaintext even if 8080 has TLS. Do not publish it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:8081/debug/ready').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node is process 1 and receives SIGTERM. The server exits within 10 s plus --drain-delay.
ENTRYPOINT ["node", "/app/bin/portcullis.js"]
CMD ["serve"]
