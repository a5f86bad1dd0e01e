import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { serverSettings, toOption } from "../../src/cli/settings.ts";
import { debugPaths } from "../../src/web/debug.ts";

// No engine runs in CI. These hold the files to what they name elsewhere; docs/operating.md says what was tried by hand.
const read = (path: string) => readFileSync(join(import.meta.dirname, "../..", path), "utf8");
const manifest = JSON.parse(read("package.json")) as {
  readonly engines: { readonly node: string };
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly files: readonly string[];
};
const dockerfile = read("Dockerfile");
const unit = read("examples/portcullis.service");

const variables = ["PORTCULLIS_ADMIN_TOKEN_FILE", ...serverSettings.flatMap(({ env }) => env ?? [])];
const flags = serverSettings.map((setting) => toOption(setting).long);

const matches = (text: string, pattern: RegExp): readonly string[] => text.match(pattern) ?? [];
const portOf = (variable: string) => new RegExp(`${variable}=\\S+:(\\d+)`).exec(dockerfile)?.[1];

/** What a server may take to end, without `--drain-delay`. */
const exitWithinSeconds = 10;

describe.each([
  "Dockerfile",
  "compose.yaml",
  "examples/compose.cores.yaml",
  "examples/portcullis.service",
  "examples/portcullis@.service.d/shared-port.conf",
])("%s", (path) => {
  it("sets only what the server reads", () => {
    const found = matches(read(path), /\bPORTCULLIS_[A-Z_]+/g);
    expect(found.length).toBeGreaterThan(0);
    for (const name of found) expect(variables).toContain(name);
  });
});

describe.each(["examples/nginx.conf", "examples/haproxy.cfg", "examples/portcullis.service"])("%s", (path) => {
  it("names only flags that there are", () => {
    const found = matches(read(path), /(?<![\w-])--[a-z][a-z-]+/g);
    expect(found.length).toBeGreaterThan(0);
    for (const flag of found) expect(flags).toContain(flag);
  });
});

describe("Dockerfile", () => {
  it("has the Node that this project pins, in every stage", () => {
    const [major] = (manifest.devDependencies["node"] ?? "").split(".");
    const images = matches(dockerfile, /(?<=^FROM )\S+/gm);
    expect(images).toHaveLength(3);
    for (const image of images) expect(image).toBe(`docker.io/library/node:${major}-bookworm-slim`);
    expect(manifest.engines.node).toBe(`>=${major}`);
  });

  it("exposes what it listens on, and asks the other port whether it is ready", () => {
    expect(matches(dockerfile, /(?<=^EXPOSE ).+/gm)).toEqual([portOf("PORTCULLIS_LISTEN")]);
    const [, port, path] = /fetch\('http:\/\/127\.0\.0\.1:(\d+)(\/[^']+)'\)/.exec(dockerfile) ?? [];
    expect(port).toBe(portOf("PORTCULLIS_DEBUG_LISTEN"));
    expect(debugPaths).toContain(path);
  });

  it("has no shell between Node and the engine's signals", () => {
    const started = matches(dockerfile, /(?<=^(?:ENTRYPOINT|CMD) ).+/gm).map((form) => JSON.parse(form));
    expect(started).toEqual([["node", "/app/bin/portcullis.js"], ["serve"]]);
  });

  it("adds a package that is there to export traces", () => {
    expect(dockerfile).toContain(`devDependencies["@opentelemetry/sdk-node"]`);
    expect(manifest.devDependencies).toHaveProperty("@opentelemetry/sdk-node");
  });
});

describe(".dockerignore", () => {
  it("lets in what is published and what makes it, and nothing else", () => {
    const [first, ...allowed] = matches(read(".dockerignore"), /^[^#\n].*/gm);
    expect(first).toBe("*");
    const published = manifest.files.map((pattern) => pattern.split("/")[0] ?? "").filter((name) => name !== "dist");
    const makers = ["LICENSE", "README.md", "package.json", "package-lock.json", ".npmrc", "src", "gen"];
    const compiler = ["tsconfig.json", "tsconfig.build.json"];
    expect(allowed.toSorted()).toEqual(
      [...new Set([...published, ...makers, ...compiler])].map((name) => `!${name}`).toSorted(),
    );
  });
});

interface Service {
  readonly ports?: readonly string[];
  readonly secrets: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly stop_grace_period: string;
}

describe("compose.yaml", () => {
  const { services, secrets } = parse(read("compose.yaml"), { merge: true }) as {
    readonly services: Readonly<Record<string, Service>>;
    readonly secrets: Readonly<Record<string, object>>;
  };
  const nodes = Object.entries(services).filter(([name]) => name.startsWith("node-"));

  it("reads secrets that it declares, where they are mounted", () => {
    for (const [name, service] of Object.entries(services)) {
      expect(Object.keys(secrets), name).toEqual(expect.arrayContaining([...service.secrets]));
      const files = Object.values(service.environment).filter((value) => value.startsWith("/"));
      expect(files, name).toEqual(service.secrets.map((secret) => `/run/secrets/${secret}`));
    }
  });

  it("publishes the port of the image, and leaves time to end", () => {
    expect(nodes).toHaveLength(2);
    for (const [name, { ports, stop_grace_period: grace }] of nodes) {
      expect(
        ports?.map((port) => port.split(":").at(-1)),
        name,
      ).toEqual([portOf("PORTCULLIS_LISTEN")]);
      expect(Number.parseInt(grace, 10), name).toBeGreaterThan(exitWithinSeconds);
    }
  });
});

describe("examples/compose.cores.yaml", () => {
  const { services } = parse(read("examples/compose.cores.yaml"), { merge: true }) as {
    readonly services: Readonly<
      Record<string, Service & { readonly healthcheck: { readonly test: readonly string[] } }>
    >;
  };
  const processes = Object.values(services);
  const valuesOf = (name: string) => new Set(processes.map(({ environment }) => environment[name]));

  it("has processes that share an address, and an address for /debug for each", () => {
    expect(processes).toHaveLength(2);
    expect(valuesOf("PORTCULLIS_LISTEN").size).toBe(1);
    expect(valuesOf("PORTCULLIS_REUSE_PORT")).toEqual(new Set(["true"]));
    expect(valuesOf("PORTCULLIS_DEBUG_LISTEN").size).toBe(processes.length);
    for (const { stop_grace_period: grace, healthcheck } of processes) {
      expect(Number.parseInt(grace, 10)).toBeGreaterThan(exitWithinSeconds);
      const [, path = ""] = /DEBUG_LISTEN \+ '(\/[^']+)'/.exec(healthcheck.test.at(-1) ?? "") ?? [];
      expect(debugPaths).toContain(path);
    }
  });

  it("asks for readiness by a program that Node can run", () => {
    for (const { healthcheck, environment } of processes) {
      const [command, node = "", ...args] = healthcheck.test;
      expect([command, node]).toEqual(["CMD", "node"]);
      // Nothing serves there: the program runs, and says that the process is not ready.
      const env = { ...environment, PORTCULLIS_DEBUG_LISTEN: "127.0.0.1:1" };
      expect(spawnSync(process.execPath, args, { env, encoding: "utf8" })).toMatchObject({ status: 1, stderr: "" });
    }
  });
});

describe("examples/portcullis.service", () => {
  it("leaves time to end, and starts Node itself", () => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(exitWithinSeconds);
    // Of the package, and not of a checkout with its tools.
    const installed = "/opt/portcullis/node_modules";
    expect(unit).toContain(`\nExecStart=${installed}/node/bin/node ${installed}/portcullis/bin/portcullis.js serve\n`);
    const guide = read("docs/operating.md").split("## Run as a systemd service")[1]?.split("\n## ")[0] ?? "";
    expect(guide).toContain("npm install --prefix /opt/portcullis --omit=dev ./portcullis-*.tgz node@24");
  });

  it("hands over the credentials that it reads", () => {
    const handed = matches(unit, /(?<=LoadCredential=)[a-z-]+/g);
    const readFrom = matches(unit, /(?<=%d\/)[a-z-]+/g);
    expect(handed.length).toBeGreaterThan(0);
    expect(new Set(readFrom)).toEqual(new Set(handed));
  });
});
