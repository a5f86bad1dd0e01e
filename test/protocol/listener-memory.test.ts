import { once } from "node:events";
import { queryObjects } from "node:v8";
import { expect, it } from "vitest";
import { answer, call2, open, session2 } from "./listener-clients.ts";

// Node 24.21 keeps a session that has ended until the timer fires that session.setTimeout started.
it("lets go of HTTP/2 sessions that have ended", async () => {
  const classes = new Set<NewableFunction>();
  const listener = await open({
    handler(request, response) {
      if ("stream" in request && request.stream.session) classes.add(request.stream.session.constructor as never);
      answer(response, "ok");
    },
  });
  for (let count = 0; count < 10; count += 1) {
    const session = session2(listener);
    expect((await call2(session, { ":path": "/" })).body).toBe("ok");
    const closed = once(session, "close");
    session.close();
    await closed;
  }
  const [session] = classes;
  // Collects garbage before it counts. The last one may still be on its way.
  await expect.poll(() => queryObjects(session as never), { timeout: 1_000 }).toBeLessThan(3);
});
