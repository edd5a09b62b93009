import { expect, test } from "vitest";
import { PROBE_AFTER_MS, PROBE_EVERY_MS, RENEW_FIRST_MS, STALL_MS, Vigil } from "./vigil";

const sight = (receivedAt: number) => ({ present: true, connected: true, receivedAt });

test("a picture that comes is left alone", () => {
  const vigil = new Vigil(0);
  for (let now = 100; now < 10_000; now += 250) {
    expect(vigil.look(now, sight(now - 60))).toEqual({ peer: "playing", probe: false, renew: false });
  }
});

test("a picture that stops has the door asked at once, the user told, and the connection made anew", () => {
  const vigil = new Vigil(0);
  const last = 1_000;
  expect(vigil.look(last + PROBE_AFTER_MS, sight(last)).probe).toBe(false);
  expect(vigil.look(last + PROBE_AFTER_MS + 1, sight(last))).toEqual({ peer: "playing", probe: true, renew: false });
  expect(vigil.look(last + PROBE_AFTER_MS + 250, sight(last)).probe).toBe(false);
  expect(vigil.look(last + PROBE_AFTER_MS + 1 + PROBE_EVERY_MS, sight(last)).probe).toBe(true);
  expect(vigil.look(last + STALL_MS + 1, sight(last)).peer).toBe("stalled");
  expect(vigil.look(last + RENEW_FIRST_MS, sight(last)).renew).toBe(false);
  const renewed = last + RENEW_FIRST_MS + 1;
  expect(vigil.look(renewed, sight(last)).renew).toBe(true);
  // Then after twice the wait, since the fault may be on the other side.
  expect(vigil.look(renewed + 2 * RENEW_FIRST_MS, sight(last)).renew).toBe(false);
  expect(vigil.look(renewed + 2 * RENEW_FIRST_MS + 1, sight(last)).renew).toBe(true);
});

test("a picture that has never come is waited for in the same way", () => {
  const vigil = new Vigil(5_000);
  expect(vigil.look(5_100, sight(0))).toEqual({ peer: "starting", probe: false, renew: false });
  expect(vigil.look(5_000 + PROBE_AFTER_MS + 1, sight(0))).toEqual({ peer: "starting", probe: true, renew: false });
});

test("who is absent, and a connection that is being made, are not probed", () => {
  const vigil = new Vigil(0);
  const absent = { peer: "absent", probe: false, renew: false };
  expect(vigil.look(60_000, { present: false, connected: true, receivedAt: 0 })).toEqual(absent);
  const unconnected = vigil.look(60_000, { present: true, connected: false, receivedAt: 0 });
  expect(unconnected).toEqual({ peer: "starting", probe: false, renew: false });
});
