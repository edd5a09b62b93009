// Reading JSON that another party wrote: what is not of the expected kind is absent, never trusted.

export const json = {
  record(value: unknown): Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  },
  text(value: unknown): string {
    return typeof value === "string" ? value : "";
  },
  number(value: unknown): number | undefined {
    return typeof value === "number" && Number.isFinite(value) ? value : undefined;
  },
};
