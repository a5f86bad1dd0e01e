// What @portcullis/rpc promises is what its README lists: see "Public API" there.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const folder = join(import.meta.dirname, "../../../src/rpc");
const section = readFileSync(join(folder, "README.md"), "utf8").split("\n## Public API\n")[1] ?? "";
const namesIn = (text: string) => [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name);

describe("the public API of @portcullis/rpc", () => {
  it("is what its README lists", () => {
    const index = readFileSync(join(folder, "index.ts"), "utf8");
    const exported = [...index.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names = ""]) =>
      names.split(",").flatMap((name) => /(\w+)\s*$/.exec(name)?.[1] ?? []),
    );
    const listed = namesIn(section.split("\n\nBesides")[0] ?? "");
    expect(exported.length).toBeGreaterThan(0);
    expect(listed.toSorted()).toEqual(exported.toSorted());
  });

  it("rests on no more private names of Connect than it says", () => {
    const files = globSync("**/*.ts", { cwd: folder });
    const imports = /^import(?: type)? \{([^}]*)\} from "@connectrpc\/connect\/[^"]+"/gm;
    const used = files.flatMap((file) =>
      [...readFileSync(join(folder, file), "utf8").matchAll(imports)].flatMap(([, names = ""]) =>
        names.split(",").map((name) => name.trim()),
      ),
    );
    const listed = namesIn(section.split("**Connect.**")[1] ?? "");
    expect(listed.toSorted()).toEqual([...new Set(used)].toSorted());
  });
});
