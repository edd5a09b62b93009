// A Chromium of its own for each party, so that each has a camera of its own: a moving box on a plain
// ground whose colour tells whose picture it is.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

export const artifacts = process.env.GUITAI_ARTIFACTS ?? path.resolve(import.meta.dirname, "artifacts");
fs.mkdirSync(artifacts, { recursive: true });

export const RED = { name: "red", ground: "0xB02020" };
export const BLUE = { name: "blue", ground: "0x2040B0" };

/** A program that starts the browser in a network namespace. */
function entered(directory, program, within) {
  const file = path.join(directory, `chromium-${within}`);
  fs.writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${within} ${program} "$@"\n`, { mode: 0o755 });
  return file;
}

/** `within` is a network namespace, `proxy` the address of an HTTP proxy that everything goes through. */
export async function open(directory, camera, viewport, { within, proxy } = {}) {
  const film = path.join(directory, `${camera.name}.y4m`);
  if (!fs.existsSync(film)) {
    execFileSync("ffmpeg", ["-v", "error",
      "-f", "lavfi", "-i", `color=${camera.ground}:s=640x360:r=15:d=4`,
      "-f", "lavfi", "-i", "color=white:s=80x80:r=15:d=4",
      "-filter_complex", "overlay=x=mod(t*160\\,560):y=140:shortest=1", "-pix_fmt", "yuv420p", "-y", film]);
  }
  const program = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({
    executablePath: within ? entered(directory, program, within) : program,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-dev-shm-usage", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
      "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
      `--use-file-for-fake-video-capture=${film}`,
      // Loopback addresses are asked past a proxy unless it is said otherwise.
      ...(proxy ? [`--proxy-server=${proxy}`, "--proxy-bypass-list=<-loopback>"] : [])],
  });
  // The certificate of a test's doors has no authority above it.
  const context = await browser.newContext({ viewport, locale: "zh-CN", permissions: ["camera", "microphone"], ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text().slice(0, 300)}`));
  page.on("pageerror", (error) => said.push(`pageerror: ${error.message}`));
  // A page asks before it lets go of a call; here the answer is yes.
  page.on("dialog", (dialog) => dialog.accept());
  return {
    page,
    said,
    by: (name) => page.locator(`[data-test="${name}"]`),
    shot: (name) => page.screenshot({ path: path.join(artifacts, `${name}.png`) }),
    close: () => browser.close(),
  };
}

// Mean colour of a canvas, and the place of the white box: two looks must differ when the picture moves.
export function look(locator) {
  return locator.evaluate((canvas) => {
    const copy = document.createElement("canvas");
    copy.width = 64;
    copy.height = 36;
    const context = copy.getContext("2d");
    context.drawImage(canvas, 0, 0, 64, 36);
    const { data } = context.getImageData(0, 0, 64, 36);
    let [red, blue, box, boxes] = [0, 0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
      red += data[at];
      blue += data[at + 2];
      if (data[at] > 200 && data[at + 1] > 200 && data[at + 2] > 200) {
        box += (at / 4) % 64;
        boxes += 1;
      }
    }
    const points = data.length / 4;
    return { red: red / points, blue: blue / points, box: boxes ? box / boxes : -1 };
  });
}

// Whether the canvas shows the other party's moving picture: its ground's colour, and a box that moves.
export async function shows(locator, camera, patience = 15000) {
  const places = new Set();
  const deadline = Date.now() + patience;
  let seen;
  while (Date.now() < deadline) {
    seen = await look(locator).catch(() => undefined);
    const right = seen && (camera === RED ? seen.red > seen.blue + 40 : seen.blue > seen.red + 40);
    if (right && seen.box >= 0) places.add(Math.round(seen.box));
    if (places.size >= 4) return true;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  throw new Error(`no moving ${camera.name} picture; last look ${JSON.stringify(seen)}, places ${[...places]}`);
}
