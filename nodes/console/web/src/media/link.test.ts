import { expect, test } from "vitest";

test("the browser's own WebSocketStream is not used", async () => {
  Object.assign(globalThis, { WebSocketStream: class {} });
  await import("./link");
  expect("WebSocketStream" in globalThis).toBe(false);
});
