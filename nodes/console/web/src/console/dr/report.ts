// A report as a node hands it out, and as the files that `guitai dr verify` reads.

import type { Report, Statement } from "./types";

export interface ReportFile {
  name: string;
  type: string;
  bytes: Uint8Array<ArrayBuffer>;
}

export function fromHex(hex: string): Uint8Array<ArrayBuffer> {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) throw new Error("not hexadecimal");
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

/** The statement of a report. It is shown, not verified: that needs SM2 and a root of one's own. */
export function statementOf(report: Report): Statement {
  return JSON.parse(new TextDecoder().decode(fromHex(report.statement))) as Statement;
}

/** The files as the command line writes them, byte for byte. */
export function filesOf(report: Report): ReportFile[] {
  const root = btoa(String.fromCharCode(...fromHex(report.root)));
  const lines = root.match(/.{1,64}/g) ?? [];
  const pem = `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
  return [
    { name: "report.json", type: "application/json", bytes: fromHex(report.statement) },
    { name: "report.p7s", type: "application/pkcs7-signature", bytes: fromHex(report.signature) },
    { name: "root.pem", type: "application/x-pem-file", bytes: new TextEncoder().encode(pem) },
  ];
}

/** Hands a file to whoever looks at the page. */
export function save(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
