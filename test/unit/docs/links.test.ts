import { existsSync, globSync, statSync } from "node:fs";
import { dirname, join, matchesGlob } from "node:path";
import { describe, expect, it } from "vitest";
import { readPage } from "./page.ts";

const root = join(import.meta.dirname, "../../..");
const folders = ["docs", "examples", "bench", "src", "test"];
const pages = globSync(["*.md", ...folders.map((folder) => `${folder}/**/*.md`)], { cwd: root }).sort();

interface Link {
  readonly target: string;
  /** From the root of the project. */
  readonly path: string;
  /** Empty: the page as a whole. */
  readonly anchor: string;
}

/** The links of a page to files of the project. */
function linksOf(page: string): readonly Link[] {
  const text = readPage(page).replace(/^```.*?^```$/gms, "");
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = "", anchor = ""] = target.split("#");
      return { target, path: path === "" ? page : join(dirname(page), path), anchor };
    });
}

/** What a link into a page can name: its headings, as GitHub and npm number them, and its anchors. */
function anchorsOf(page: string): readonly string[] {
  const text = readPage(page).replace(/^```.*?^```$/gms, "");
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
  const named = [...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id);
  return [...headings, ...named];
}

describe("the links of", () => {
  it.each(pages)("%s lead somewhere", (page) => {
    const broken = linksOf(page).filter(({ path, anchor }) => {
      if (!existsSync(join(root, path))) return true;
      return anchor !== "" && !(path.endsWith(".md") && anchorsOf(path).includes(anchor));
    });
    expect(broken.map(({ target }) => target)).toEqual([]);
  });

  it("README.md are in the package too", () => {
    const { files } = JSON.parse(readPage("package.json")) as { files: readonly string[] };
    // npm packs the license in any case.
    const packed = [...files, "LICENSE"];
    const links = linksOf("README.md");
    expect(links.length).toBeGreaterThan(0);
    for (const { path } of links) {
      expect(
        packed.some((pattern) => matchesGlob(path, pattern)),
        path,
      ).toBe(true);
    }
  });
});

describe("docs/README.md", () => {
  it("names every page of its folder", () => {
    const others = pages.filter((page) => dirname(page) === "docs" && page !== "docs/README.md");
    expect(others.length).toBeGreaterThan(0);
    const named = linksOf("docs/README.md").map(({ path }) => path);
    expect(named.filter((path) => statSync(join(root, path)).isFile()).sort()).toEqual(others);
  });
});
