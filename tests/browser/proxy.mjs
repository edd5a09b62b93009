// An HTTP proxy that knows CONNECT and nothing else, and lets through to named addresses only; it says what it was asked
// for. Run as a program it is the proxy; `connectProxy` runs it within a network namespace.
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import readline from "node:readline";

export async function connectProxy({ within, only }) {
  const command = [process.execPath, import.meta.filename, ...only];
  const child = spawn("ip", ["netns", "exec", within, ...command], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { port } = JSON.parse((await lines.next()).value);
  return {
    address: `http://127.0.0.1:${port}`,
    /** Where tunnels were opened to, and what was refused. */
    async told() {
      child.stdin.write("\n");
      return JSON.parse((await lines.next()).value);
    },
    async stop() {
      child.stdin.end();
      await once(child, "exit");
    },
  };
}

function serve(only) {
  const [opened, refused] = [[], []];
  const server = http.createServer((request, response) => {
    refused.push(`${request.method} ${request.url}`);
    response.writeHead(405, { "content-type": "text/plain" }).end("CONNECT only\n");
  });
  server.on("connect", (request, client, head) => {
    client.on("error", () => {});
    if (!only.includes(request.url)) {
      refused.push(request.url);
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    opened.push(request.url);
    const { hostname, port } = new URL(`http://${request.url}`);
    const server = net.connect(Number(port), hostname, () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      server.write(head);
      server.pipe(client).pipe(server);
    });
    for (const one of [client, server]) one.on("error", () => one.destroy()).on("close", () => [client, server].forEach((other) => other.destroy()));
  });
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
  process.stdin.on("data", () => console.log(JSON.stringify({ opened, refused })));
  process.stdin.on("end", () => process.exit(0));
}

if (process.argv[1] === import.meta.filename) serve(process.argv.slice(2));
