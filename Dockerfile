# The server as a container image: docker build -t portcullis .
# How to run it is in docs/operating.md, and compose.yaml has it with PostgreSQL.

# What would be published, made from the sources. The base image has Node, so the one that npm would bring is left out, and so
# are the other install scripts, which are for tests.
FROM docker.io/library/node:24-bookworm-slim AS package
WORKDIR /source
COPY package.json package-lock.json .npmrc ./
RUN ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
COPY . .
RUN ["npm", "run", "build"]
RUN ["npm", "pack", "--ignore-scripts", "--pack-destination", "/tmp"]
RUN tar -xzf /tmp/portcullis-*.tgz -C /tmp && chmod 755 /tmp/package/bin/portcullis.js

# What it needs, in the versions of package-lock.json. The package that exports traces is optional for who installs portcullis;
# here it is added, so that OTEL_EXPORTER_OTLP_ENDPOINT is all that it takes.
FROM docker.io/library/node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm install --omit=dev --ignore-scripts --no-audit --no-fund --save-prod --save-exact \
    "@opentelemetry/sdk-node@$(node -p 'require("./package.json").devDependencies["@opentelemetry/sdk-node"]')"

FROM docker.io/library/node:24-bookworm-slim
ENV NODE_ENV=production \
    PORTCULLIS_DATA=/data \
    PORTCULLIS_LISTEN=0.0.0.0:8080 \
    PORTCULLIS_DEBUG_LISTEN=0.0.0.0:8081
WORKDIR /app
# For docker exec CONTAINER portcullis token list, and the like.
RUN ["ln", "--symbolic", "/app/bin/portcullis.js", "/usr/local/bin/portcullis"]
RUN ["install", "--directory", "--owner=1000", "--group=1000", "--mode=700", "/data"]
COPY --from=dependencies /app/node_modules node_modules
COPY --from=package /tmp/package .
# By number, so that Kubernetes can tell that it is not root. Only /data is this user's; the rest may be mounted read-only.
USER 1000:1000
VOLUME ["/data"]
EXPOSE 8080
# Metrics and readiness have a port of their own, 8081, which is not to be published; it is plaintext, also where 8080 has TLS.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:8081/debug/ready').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node itself is process 1: it gets SIGTERM, and the server ends within 10 s and the time of --drain-delay.
ENTRYPOINT ["node", "/app/bin/portcullis.js"]
CMD ["serve"]
