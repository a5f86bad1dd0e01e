// A flood of sign-ins by strangers leaves those alone who sign in where they always do.
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hashPassword, verifyPassword } from "../../src/auth/issuer/password.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { beginSignIn, type Page, type SignIn, signIn, Visitor } from "../fixtures/visitor.ts";

const ada = { userName: "ada", password: "correct horse battery" };
/** A hash that costs next to nothing. */
const cheap = "$scrypt$ln=4,r=1,p=1$c2l4dGVlbiBzYWx0IGJ5dA$EUmwscuVD2Fc874RMY0Z17Q/WI8GEev3Yi5T6byHdNs";

let server: TestServer;
let application: SignIn;
beforeAll(async () => {
  // It stands still, so that a slow machine gives no attempt back.
  const now = Date.now();
  server = await startTestServer({ issuer: {}, trustedProxies: ["127.0.0.1"], clock: () => now });
  await server.directory.addUser({ name: ada.userName, role: "ORG_OWNER" });
  await server.credentials.setPassword({ userName: ada.userName, hash: await hashPassword(ada.password) });
  const redirectUri = "http://127.0.0.1:9/cb";
  const clientId = await server.clients.add({ name: "Console", redirectUris: [redirectUri] });
  application = { issuer: server.url, clientId, redirectUri };
});
afterAll(async () => {
  await server.close();
  expect(server.failures).toEqual([]);
});

class VisitorFrom extends Visitor {
  readonly #address: string;

  constructor(address: string) {
    super();
    this.#address = address;
  }

  override go(url: string, init: RequestInit = {}): Promise<Page> {
    return super.go(url, { ...init, headers: { ...init.headers, "x-forwarded-for": this.#address } });
  }

  /** The answer to a password on the page of a new sign-in. */
  async offer(password: string): Promise<Page> {
    const { location } = await this.go((await beginSignIn(application)).url);
    return this.send(location, { username: ada.userName, password });
  }
}

/** Keeps every place taken that strangers may have, until it is told to end: who is done stands in line again at once. */
function crowd(): () => Promise<void> {
  let isOver = false;
  const stand = async () => {
    while (!isOver) {
      // Someone who is no stranger may have come in between.
      await verifyPassword("x", cheap, { isStranger: true }).catch(() => setImmediate());
    }
  };
  const all = Array.from({ length: 2 + 48 }, stand);
  return async () => {
    isOver = true;
    await Promise.all(all);
  };
}

it("turns strangers away where too many wait, and nobody who signed in from there before", async () => {
  const home = "2001:db8:1:2::1";
  await signIn(new VisitorFrom(home), { ...application, ...ada });
  const end = crowd();
  try {
    expect((await new VisitorFrom("2001:db8:1:3::1").offer(ada.password)).status).toBe(503);
    expect((await new VisitorFrom("198.51.100.1").offer(ada.password)).status).toBe(503);
    expect((await new VisitorFrom(home).offer(ada.password)).status).toBe(303);
  } finally {
    await end();
  }
  expect((await new VisitorFrom("198.51.100.1").offer(ada.password)).status).toBe(303);
});

it("slows down a /56 and a /48 that guess, and nobody who signed in from there before", async () => {
  const home = "2001:db8:2:ff00::1";
  await signIn(new VisitorFrom(home), { ...application, ...ada });
  // Each from a /64 of its own, and of another user, so that neither has had an attempt before.
  const guess = async (i: number) => {
    const visitor = new VisitorFrom(`2001:db8:2:${i.toString(16)}::1`);
    const { location } = await visitor.go((await beginSignIn(application)).url);
    // Longer than any password that is hashed, so that the test costs little.
    return visitor.send(location, { username: `user ${i}`, password: "x".repeat(1025) });
  };
  const answers = [];
  for (let i = 0; i < 100; i += 1) answers.push((await guess(i)).status);
  expect(answers).toEqual([...Array(40).fill(401), ...Array(60).fill(429)]);
  expect((await new VisitorFrom(home).offer(ada.password)).status).toBe(303);
});
