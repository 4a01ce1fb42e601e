// Questions to the server. Answers are kept: a saved page has these, and no server.

let session = null;
export const asked = new Map();

// A saved page holds the answers in an element of its own.
const saved = document.getElementById("answers");
export const offline = saved !== null;
if (offline) for (const [key, answer] of JSON.parse(saved.textContent)) asked.set(key, answer);

const KEPT = ["explain", "routing", "arithmetic", "equations"];
let moment = 0;

async function post(path, body, type = "application/json") {
  const response = await fetch(path, { method: "POST", body, headers: { "Content-Type": type } }).catch(() => {
    throw new Error("Nobody answers: convprop explore has ended. Start it again, and open its new address.");
  });
  const answer = await response.json().catch(() => ({ error: `${response.status}: ${response.statusText}` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

export async function open() {
  if (offline) return asked.get("open");
  const answer = await post("open", "{}");
  session = answer.session;
  // As long as this stays open, the server knows that somebody looks.
  new EventSource(`sessions/${session}/alive`);
  asked.set("open", { ...answer, session: null });
  return answer;
}

// Questions about the present moment are asked once; what changes the moment forgets them.
export async function ask(question, body = {}) {
  const key = `${question} ${JSON.stringify(body)}`;
  if (offline) {
    const answer = asked.get(key) ?? (KEPT.includes(question) ? undefined : asked.get("maps {}"));
    if (!answer) throw new Error("A saved page shows what had been looked at. For more, run convprop explore.");
    return answer;
  }
  const keeps = KEPT.includes(question);
  if (keeps && asked.has(key)) return asked.get(key);
  const before = moment;
  const answer = await post(`sessions/${session}/${question}`, JSON.stringify(body));
  if (keeps) {
    if (before === moment) asked.set(key, answer);
  } else {
    changed(answer);
  }
  return answer;
}

export async function upload(file) {
  const answer = await post(`sessions/${session}/upload`, file, "application/octet-stream");
  changed(answer);
  return answer;
}

function changed(answer) {
  moment += 1;
  for (const key of [...asked.keys()]) {
    if (key.startsWith("explain") || key.startsWith("routing")) asked.delete(key);
  }
  asked.set("maps {}", { ...answer, losses: undefined });
}
