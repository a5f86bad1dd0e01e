import { describe, expect, it } from "vitest";
import {
  defaultLoginPolicy,
  isRedirectUri,
  isSameSettings,
  type LoginPolicySettings,
} from "../../../../src/domain/login-policy/settings.ts";
import { settingsOf } from "../../../fixtures/builders.ts";

// Empty, or a URL with a scheme; http and https also need a host; any other scheme is accepted.
describe("isRedirectUri", () => {
  it.each([
    "",
    "https://example.com",
    "https://example.com/",
    "https://example.com/a/b?c=d#e",
    "HTTPS://EXAMPLE.COM",
    "http://example.com:8080/x",
    "http://example.com:",
    "http://127.0.0.1:80",
    "http://[::1]:80",
    "http://[::1]",
    "http://user@host",
    "http://user:password@host:80/x",
    "https://example.com?x=1",
    "https://example.com#x",
    "https://example.com/with space",
    "https://example.com/%20%e2%82%ac",
    "https://münchen.example",
    "localhost:8080",
    "localhost:",
    "custom:anything",
    "custom://",
    "custom:///x",
    "com.acme.app://callback",
    "a+b-c.d:x",
    "urn:ietf:wg:oauth:2.0:oob",
    "mailto:ada@example.com",
  ])("accepts %j", (text) => {
    expect(isRedirectUri(text)).toBe(true);
  });

  it.each([
    "http:",
    "HTTP://",
    "Https:///x",
    "http:/",
    "http://",
    "https://",
    "https:///x",
    "http:/example.com",
    "http:example.com",
    "http://?x",
    "http://#x",
    "http://:80",
    "http://user@",
    "http://user@:80",
    "http://user@/x",
    "http://exa mple.com",
    "http:// ",
    "http://host:port",
    "http://host:80x",
    "http://[::1",
    "http://::1]",
    "http://[::1]x",
    "http://[]",
    "http://[x y]",
    "http://a\\b",
    "http://<host>",
    "//host",
    "//host/path",
    "/path",
    "path",
    "example.com",
    "example.com/a:b",
    "127.0.0.1:8080",
    "[::1]:8080",
    "1http://host",
    ":8080",
    "://host",
    "?x=a:b",
    "#a:b",
    "sch eme:x",
    "sch_eme:x",
    " https://example.com",
    "https://example.com/\n",
    "https://exam\tple.com",
    "https://example.com\u0000",
    "custom:\u007f",
    "custom:\r\nset-cookie: a=b",
    "https://example.com/%",
    "https://example.com/%2",
    "https://example.com/%zz",
    "é:x",
  ])("refuses %j", (text) => {
    expect(isRedirectUri(text)).toBe(false);
  });

  it("refuses a space in the user part, as ZITADEL's URL parser does", () => {
    expect(isRedirectUri("http://us er@host")).toBe(false);
  });

  it.each([
    ["a path", `https://example.com/${"a".repeat(100_000)}`, true],
    ["a host", `http://${"a".repeat(100_000)}`, true],
    ["a host that ends badly", `http://${"a".repeat(100_000)}[`, false],
    ["escapes", `custom:${"%20".repeat(50_000)}`, true],
    ["percent signs", `custom:/${"%".repeat(100_000)}`, false],
    ["at signs", `http://${"@".repeat(100_000)}`, false],
    ["colons", `http://${":".repeat(100_000)}x`, false],
    ["a scheme without an end", "a".repeat(100_000), false],
  ])("decides a very long text at once: %s", (_, text, expected) => {
    const start = performance.now();
    expect(isRedirectUri(text)).toBe(expected);
    // It takes a few milliseconds; what is not linear would take minutes.
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("isSameSettings", () => {
  const names = Object.keys(settingsOf()) as (keyof LoginPolicySettings)[];

  it("looks at 17 settings", () => {
    expect(names).toHaveLength(17);
  });

  it("compares by value", () => {
    expect(isSameSettings(settingsOf(), structuredClone(settingsOf()))).toBe(true);
  });

  it.each(names)("sees a change of %s", (name) => {
    const before = settingsOf();
    for (const changed of changes(before[name])) {
      expect(isSameSettings(before, { ...before, [name]: changed })).toBe(false);
      expect(isSameSettings({ ...before, [name]: changed }, before)).toBe(false);
      const { [name]: _, ...without } = before;
      expect(isSameSettings(without as typeof before, { ...before, [name]: changed })).toBe(false);
    }
  });

  function changes(value: LoginPolicySettings[keyof LoginPolicySettings]): unknown[] {
    if (typeof value === "boolean") return [!value];
    if (typeof value === "string") return [`${value}x`];
    return [
      { ...value, seconds: value.seconds + 1 },
      { ...value, nanos: value.nanos + 1 },
    ];
  }
});

describe("defaultLoginPolicy", () => {
  it("is ZITADEL's own", () => {
    expect(defaultLoginPolicy).toEqual({
      settings: {
        allowUsernamePassword: true,
        allowRegister: true,
        allowExternalIdp: true,
        forceMfa: false,
        forceMfaLocalOnly: false,
        hidePasswordReset: false,
        ignoreUnknownUsernames: false,
        allowDomainDiscovery: true,
        disableLoginWithEmail: false,
        disableLoginWithPhone: false,
        passwordlessType: "allowed",
        defaultRedirectUri: "",
        passwordCheckLifetime: { seconds: 864_000, nanos: 0 },
        externalLoginCheckLifetime: { seconds: 864_000, nanos: 0 },
        mfaInitSkipLifetime: { seconds: 2_592_000, nanos: 0 },
        secondFactorCheckLifetime: { seconds: 64_800, nanos: 0 },
        multiFactorCheckLifetime: { seconds: 43_200, nanos: 0 },
      },
      secondFactors: ["otp", "u2f"],
      multiFactors: ["u2f_with_verification"],
    });
  });
});
