// Questions to the server. Answers are kept: a saved page has these, and no server.

import { SERVER as SAID } from "./prose.js";

let session = null;
let alive = null;
// Milliseconds between two signs of life.
const BEAT = 20000;
// In a notebook the page stands in a frame.
const framed = parent !== window;
export const asked = new Map();

// A saved page holds the answers, packed, in an element of its own.
const saved = document.getElementById("answers");
export const offline = saved !== null;

export async function packedAnswers() {
  const stream = new Blob([JSON.stringify([...asked])]).stream();
  const packed = new Response(stream.pipeThrough(new CompressionStream("gzip")));
  return base64(new Uint8Array(await packed.arrayBuffer()));
}

async function unpackAnswers(text) {
  const stream = new Blob([fromBase64(text)]).stream();
  const unpacked = new Response(stream.pipeThrough(new DecompressionStream("gzip")));
  for (const [key, answer] of await unpacked.json()) asked.set(key, answer);
}

export function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Answers that are kept: those of the first kind until the moment changes.
const OF_THE_MOMENT = ["explain", "routing"];
const KEPT = [...OF_THE_MOMENT, "fields", "arithmetic", "equations"];
let moment = 0;
// Questions that several parts of the page ask at once are asked once.
const coming = new Map();

async function post(path, body, type = "application/json") {
  const sent = { method: "POST", body, headers: { "Content-Type": type } };
  const response = await fetch(path, sent).catch(() => {
    clearInterval(alive);
    throw new Error(framed ? SAID.notebook : SAID.gone);
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  // What the server refuses before it is asked, it refuses in plain words.
  const json = response.headers.get("content-type").startsWith("application/json");
  throw new Error(json ? JSON.parse(text).error : text.trim());
}

// The session that the browser remembers for this tab, if it does: a reload goes on with its
// network.
function remembered(name) {
  try {
    const before = sessionStorage.getItem("session");
    if (name) sessionStorage.setItem("session", name);
    return before;
  } catch {
    return null;
  }
}

export async function open() {
  if (offline) {
    await unpackAnswers(saved.textContent);
    return asked.get("open");
  }
  const answer = await post("open", JSON.stringify({ session: remembered() }));
  session = answer.session;
  remembered(session);
  // The server is told that somebody looks, and when nobody does any more.
  alive = setInterval(beat, BEAT);
  addEventListener("pagehide", () => navigator.sendBeacon(`sessions/${session}/bye`));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  asked.set("open", { ...answer, session: null });
  return answer;
}

function beat() {
  fetch(`sessions/${session}/alive`, { method: "POST" }).catch(() => clearInterval(alive));
}

export async function ask(question, body = {}) {
  const key = `${question} ${JSON.stringify(body)}`;
  const keeps = KEPT.includes(question);
  if (offline) {
    const answer = asked.get(key) ?? (keeps ? undefined : asked.get("maps {}"));
    if (!answer) throw new Error(SAID.saved);
    return answer;
  }
  const path = `sessions/${session}/${question}`;
  if (!keeps) {
    const answer = await post(path, JSON.stringify(body));
    if (answer.outputs) changed(answer);
    return answer;
  }
  if (asked.has(key)) return asked.get(key);
  if (!coming.has(key)) coming.set(key, answered(key, path, body));
  return coming.get(key);
}

// An answer that comes after the moment has changed is not kept.
async function answered(key, path, body) {
  const before = moment;
  try {
    const answer = await post(path, JSON.stringify(body));
    if (before === moment) asked.set(key, answer);
    return answer;
  } finally {
    if (before === moment) coming.delete(key);
  }
}

export async function upload(file) {
  const answer = await post(`sessions/${session}/upload`, file, "application/octet-stream");
  changed(answer);
  return answer;
}

function changed(answer) {
  moment += 1;
  coming.clear();
  for (const key of [...asked.keys()]) {
    if (OF_THE_MOMENT.includes(key.split(" ")[0])) asked.delete(key);
  }
  asked.set("maps {}", { ...answer, losses: undefined });
}
