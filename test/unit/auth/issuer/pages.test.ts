import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  consentPage,
  formActionsOf,
  messagePage,
  pageHeaders,
  signInPage,
  signOutPage,
} from "../../../../src/auth/issuer/pages.ts";

const action = "/issuer/interaction/1";
const applicationName = "Console";
const userName = "ada";
const form = '<form id="op.logoutForm" method="post" action="/end"><input type="hidden" name="xsrf" value="s"/></form>';

const pages = [
  ["signInPage", signInPage({ action, applicationName }).html],
  ["signInPage after a failure", signInPage({ action, applicationName, userName, problem: "Wrong." }).html],
  ["consentPage", consentPage({ action, applicationName, userName }).html],
  ["messagePage", messagePage({ title: "Signed out", text: "You are signed out." }).html],
  ["signOutPage", signOutPage({ form }).html],
] as const;

/** The start tags of a name, each as its attributes. */
function tagsOf(html: string, name: string): Record<string, string>[] {
  return [...html.matchAll(new RegExp(`<${name}((?:\\s[^>]*)?)>`, "g"))].map(([, attributes = ""]) =>
    Object.fromEntries(
      [...attributes.matchAll(/([a-z-]+)(?:="([^"]*)")?/g)].map(([, key, value]) => [key, value ?? ""]),
    ),
  );
}

const textOf = (html: string, name: string) => new RegExp(`<${name}[^>]*>([\\s\\S]*?)</${name}>`).exec(html)?.[1];
const inputsOf = (html: string) =>
  Object.fromEntries(tagsOf(html, "input").map(({ name = "", ...attributes }) => [name, attributes]));

describe.each(pages)("%s", (_, html) => {
  it("is a document with a language, a title, one heading and room for small screens", () => {
    expect(html.startsWith('<!doctype html>\n<html lang="en">')).toBe(true);
    expect(textOf(html, "title")).toMatch(/\S/);
    expect(tagsOf(html, "h1")).toHaveLength(1);
    expect(tagsOf(html, "main")).toHaveLength(1);
    expect(tagsOf(html, "meta")).toEqual([
      { charset: "utf-8" },
      { name: "viewport", content: "width=device-width, initial-scale=1" },
    ]);
  });

  it("brings no script, no style attribute and nothing from elsewhere", () => {
    expect(html).not.toMatch(/<script|\son[a-z]+=|\sstyle=|\ssrc=|\shref=|<link|<img|<iframe|<base|@import|url\(/i);
  });

  it("has the one stylesheet that the policy names", () => {
    const sheets = [...html.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, text = ""]) => text);
    const hashes = sheets.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`);
    expect(hashes).toHaveLength(1);
    expect(pageHeaders()["content-security-policy"]).toContain(`style-src ${hashes[0]};`);
  });

  it("labels its inputs and gives its buttons a text", () => {
    const shown = tagsOf(html, "input").filter(({ type }) => type !== "hidden");
    expect(tagsOf(html, "label").map((label) => label["for"])).toEqual(shown.map(({ id }) => id));
    for (const [, text] of html.matchAll(/<button[^>]*>([^<]*)<\/button>/g)) expect(text).toMatch(/\S/);
    expect(tagsOf(html, "button").every(({ type }) => type === "submit")).toBe(true);
  });
});

describe("signInPage", () => {
  const fresh = signInPage({ action, applicationName }).html;
  const failed = signInPage({ action, applicationName, userName, problem: "Wrong." }).html;

  it("posts to its action", () => {
    expect(tagsOf(fresh, "form")).toEqual([{ method: "post", action }]);
  });

  it("asks in a way that browsers and password managers understand", () => {
    expect(inputsOf(fresh)).toEqual({
      username: {
        id: "username",
        type: "text",
        value: "",
        autocomplete: "username",
        autocapitalize: "none",
        autocorrect: "off",
        spellcheck: "false",
        required: "",
        autofocus: "",
      },
      password: { id: "password", type: "password", autocomplete: "current-password", required: "" },
    });
  });

  it("names the application", () => {
    expect(textOf(fresh, "title")).toBe("Sign in to Console");
    expect(fresh).toContain("to continue to <strong><bdi>Console</bdi></strong>");
  });

  it.each([
    ["nothing is known", {}, "username"],
    ["the user name is empty", { userName: "" }, "username"],
    ["the user name is known", { userName }, "password"],
    ["the attempt before failed", { userName, problem: "Wrong." }, "password"],
  ])("has its focus on the first empty field: %s", (_, options, focused) => {
    const { html } = signInPage({ action, applicationName, ...options });
    expect(
      Object.entries(inputsOf(html))
        .filter(([, attributes]) => "autofocus" in attributes)
        .map(([name]) => name),
    ).toEqual([focused]);
  });

  it("says what went wrong: in the title, as an alert, and at both fields", () => {
    expect(textOf(failed, "title")).toBe("Error: Sign in to Console");
    expect(failed).toContain('<p class="problem" id="problem" role="alert">Wrong.</p>');
    const described = { "aria-invalid": "true", "aria-describedby": "problem" };
    expect(inputsOf(failed)).toMatchObject({ username: { value: userName, ...described }, password: described });
  });

  it("without a problem has no alert", () => {
    expect(fresh).not.toMatch(/role="alert"|aria-invalid="|aria-describedby/);
  });

  it("never puts a value into the password's field", () => {
    expect(inputsOf(failed)["password"]).not.toHaveProperty("value");
  });
});

describe("consentPage", () => {
  const { html } = consentPage({ action, applicationName, userName });

  it("lets the user decide, without a button that has the focus", () => {
    expect(tagsOf(html, "form")).toEqual([{ method: "post", action }]);
    expect(tagsOf(html, "button")).toEqual([
      { type: "submit", name: "decision", value: "allow" },
      { type: "submit", name: "decision", value: "cancel", class: "second" },
    ]);
    expect([...html.matchAll(/<button[^>]*>([^<]*)/g)].map(([, text]) => text)).toEqual(["Allow", "Cancel"]);
    expect(html).not.toContain("autofocus");
  });

  it("names the application and the user", () => {
    expect(html).toContain("<strong><bdi>Console</bdi></strong> wants to act for you");
    expect(html).toContain("You are signed in as <strong><bdi>ada</bdi></strong>.");
  });
});

describe("messagePage", () => {
  it("says its text below its title", () => {
    const { html } = messagePage({ title: "Signed out", text: "You are signed out." });
    expect(textOf(html, "title")).toBe("Signed out");
    expect(html).toContain("<h1>Signed out</h1>\n<p>You are signed out.</p>");
    expect(tagsOf(html, "form")).toEqual([]);
  });
});

describe("signOutPage", () => {
  it("puts the form in as it is, and adds its buttons; the one that stays sends nothing", () => {
    const { html } = signOutPage({ form });
    expect(html).toContain(form);
    expect(tagsOf(html, "button")).toEqual([
      { type: "submit", form: "op.logoutForm", name: "logout", value: "yes" },
      { type: "submit", form: "op.logoutForm", class: "second" },
    ]);
  });
});

describe("whatever is put into a page stays text", () => {
  const attacks = [
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    '" onfocus="alert(1)" x="',
    "' onfocus='alert(1)",
    "` onfocus=alert(1)",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</form><form action=https://evil.example>",
    "<!--",
    "&lt;script&gt;",
    "&#34;&quot;",
    "$& $1 $` $'",
    "{text}",
  ];
  const builders: readonly (readonly [string, (text: string) => string])[] = [
    ["the action", (text) => signInPage({ action: text, applicationName }).html],
    ["the application's name", (text) => signInPage({ action, applicationName: text }).html],
    ["the user's name", (text) => signInPage({ action, applicationName, userName: text }).html],
    ["the problem", (text) => signInPage({ action, applicationName, problem: text }).html],
    ["the action of a consent", (text) => consentPage({ action: text, applicationName, userName }).html],
    ["the application that wants consent", (text) => consentPage({ action, applicationName: text, userName }).html],
    ["the user who is asked", (text) => consentPage({ action, applicationName, userName: text }).html],
    ["a message's title", (text) => messagePage({ title: text, text: "" }).html],
    ["a message's text", (text) => messagePage({ title: "", text }).html],
  ];
  // An own escape, character by character, since the pages' is what is tested.
  const escaped = (text: string) =>
    [...text].map((c) => ("&<>\"'`".includes(c) ? `&#${c.charCodeAt(0)};` : c)).join("");

  it.each(builders)("%s", (_, build) => {
    const marker = "MARKER";
    const harmless = build(marker);
    expect(harmless).toContain(marker);
    for (const attack of attacks) {
      // The same page with the harmless text replaced, and nothing else changed.
      expect(build(attack)).toBe(harmless.replaceAll(marker, () => escaped(attack)));
    }
  });

  it("leaves other characters as they are", () => {
    const text = "Ünï🔑 \u202e\u0000 50 % = x;y\n";
    expect(messagePage({ title: "", text }).html).toContain(`<p>${text}</p>`);
  });
});

describe("pageHeaders", () => {
  it("sends these and no other", () => {
    const { "content-security-policy": policy = "", ...headers } = pageHeaders();
    expect(headers).toEqual({
      "content-type": "text/html; charset=utf-8",
      "x-frame-options": "DENY",
      "referrer-policy": "same-origin",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
    expect(policy.replace(/sha256-[A-Za-z0-9+/]{43}=/, "HASH")).toBe(
      "default-src 'none'; style-src 'HASH'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    );
  });

  it("names where forms may lead, each once", () => {
    const headers = pageHeaders({ formActions: ["https:", "http:", "com.example.app:", "https:"] });
    expect(headers["content-security-policy"]).toContain("; form-action 'self' https: http: com.example.app:; ");
  });

  it.each([
    "",
    "*",
    "'none'",
    "'unsafe-inline'",
    "https",
    "HTTPS:",
    "https://app.example",
    "https: *",
    "https:; script-src *",
    "https:\n",
    "https:\r\nset-cookie: a=b",
    "https:,default-src *",
    "1app:",
    ":",
  ])("throws for %j, which could change the policy", (source) => {
    expect(() => pageHeaders({ formActions: [source] })).toThrow(new Error(`"${source}" is not a scheme.`));
  });
});

describe("formActionsOf", () => {
  it.each([
    ["https://app.example/callback", ["https:", "http:"]],
    ["http://127.0.0.1:4711/callback", ["https:", "http:"]],
    ["http://[::1]:4711/", ["https:", "http:"]],
    ["HTTPS://APP.EXAMPLE", ["https:", "http:"]],
    ["com.example.app:/callback", ["com.example.app:"]],
    ["Com.Example.App://callback", ["com.example.app:"]],
    ["app+x-1.y:callback", ["app+x-1.y:"]],
  ])("of %s is %j", (uri, sources) => {
    expect(formActionsOf(uri)).toEqual(sources);
  });

  it.each([
    "https://a;script-src/",
    "https://a'b/",
    "https://*/",
    "https://app.example/;script-src *",
    "https://app.example/?a=' ;",
    "com.example.app:/; script-src *",
    "com.example.app:'unsafe-inline'",
  ])("of %s lets nothing of it into the policy but a scheme", (uri) => {
    const before = pageHeaders({ formActions: [] })["content-security-policy"] ?? "";
    const after = pageHeaders({ formActions: formActionsOf(uri) })["content-security-policy"] ?? "";
    expect(after.split("; ")).toHaveLength(before.split("; ").length);
    expect(after.replace(/(?<=form-action 'self')(?: [a-z][a-z0-9+.-]*:)+/, "")).toBe(before);
  });

  it.each(["", "/callback", "app.example", "https://", "//app.example/", "a b:c", "é:x"])(
    "throws for %j, which is no absolute URI",
    (uri) => {
      expect(() => formActionsOf(uri)).toThrow(new Error(`"${uri}" is not an absolute URI.`));
    },
  );

  it.each([
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,x",
    "blob:https://a/1",
    "file:///x",
    "about:blank",
  ])("throws for %s, where no form may lead", (uri) => {
    const { protocol } = new URL(uri);
    expect(() => formActionsOf(uri)).toThrow(new Error(`A form cannot lead to a ${protocol} URI.`));
  });
});

describe("the stylesheet", () => {
  const css = textOf(pages[0][1], "style") ?? "";
  const palettes = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, text = ""]) =>
    Object.fromEntries([...text.matchAll(/--([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name, colour]) => [name, colour])),
  );

  /** WCAG 2.2, relative luminance. */
  function luminance(colour: string): number {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
      const part = Number.parseInt(colour.slice(i, i + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(a = "", b = ""): number {
    const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  }

  it("has a palette for light and one for dark", () => {
    expect(css).toContain("color-scheme: light dark");
    expect(css).toContain("@media (prefers-color-scheme: dark)");
    expect(palettes).toHaveLength(2);
  });

  it.each([
    ["text", "card", 4.5],
    ["problem", "card", 4.5],
    ["accent", "card", 4.5],
    ["on-accent", "accent", 4.5],
    ["border", "card", 3],
  ])("sets %s off from %s by at least %d in both", (front, back, least) => {
    for (const palette of palettes) expect(contrast(palette[front], palette[back])).toBeGreaterThanOrEqual(least);
  });

  it("has no width, and no size of a text, that would not grow with the reader's or fit 320 pixels", () => {
    expect([...css.matchAll(/(?:font-size|width|height): ([^;]*)/g)].map(([, value = ""]) => value)).not.toContainEqual(
      expect.stringMatching(/\dpx/),
    );
    expect(css).toMatch(/input, button \{[^}]*font: inherit/);
    expect(css).toMatch(/body \{[^}]*font: 1rem/);
  });

  it("shows the focus", () => {
    expect(css).toMatch(/:focus-visible \{ outline: 3px solid/);
    expect(css).not.toMatch(/outline: (?:none|0)/);
  });
});
