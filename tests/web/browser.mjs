// Enough of a browser for decoder.js in node: workers, and files by fetch. `control` makes them slow or fail.

import { readFileSync } from "node:fs";
import { isMainThread, parentPort, Worker as Thread, workerData } from "node:worker_threads";

export const control = { failing: 0, delays: {} }; // workers that do not start; milliseconds by the begin of a name

if (!isMainThread) {
  globalThis.addEventListener = (kind, hear) => parentPort.on("message", (data) => hear({ data }));
  globalThis.postMessage = (message, moved) => parentPort.postMessage(message, moved ?? []);
  await import(workerData);
}

globalThis.Worker = class {
  constructor(url) {
    if (control.failing-- > 0) {
      setTimeout(() => this.onerror({ preventDefault() {} }), 10);
      return;
    }
    this.thread = new Thread(new URL(import.meta.url), { workerData: String(url) });
    this.thread.on("message", (data) => this.onmessage({ data }));
    this.thread.on("error", ({ message }) => this.onerror({ preventDefault() {}, message }));
  }

  postMessage(message, moved) {
    this.thread?.postMessage(message, moved);
  }

  terminate() {
    this.thread?.terminate();
  }
};

globalThis.fetch = async (url) => {
  const name = String(url).split("/").pop();
  const [, delay] = Object.entries(control.delays).find(([begin]) => name.startsWith(begin)) ?? [];
  if (delay) await new Promise((go) => setTimeout(go, delay));
  return new Response(readFileSync(new URL(url)));
};
