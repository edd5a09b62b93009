import { expect, test } from "vitest";
import { placesOf } from "./usePlace";

test("each account has the pages that the API would answer", () => {
  expect(placesOf(["operator"])).toEqual(["cluster", "dr", "flows"]);
  expect(placesOf(["auditor", "agent"])).toEqual(["cluster", "dr", "flows"]);
  expect(placesOf(["officer"])).toEqual(["dr", "flows"]);
  expect(placesOf(["officer", "operator"])).toEqual(["cluster", "dr", "flows"]);
  expect(placesOf(["agent"])).toEqual(["cluster"]);
});
