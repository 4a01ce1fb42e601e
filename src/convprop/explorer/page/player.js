// Step and play.

import { button, failed } from "./dom.js";

// `step` may be asynchronous; what it throws ends the playing.
export function player(id, step, { delay = 350 } = {}) {
  let timer = null;
  const next = button("Step", () => Promise.resolve(step()).catch(failed), { id: `${id}-step` });
  const play = button("Play", () => (timer === null ? start() : stop()), { id: `${id}-play`, "aria-pressed": "false" });

  function start() {
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = 0;
    turn();
  }

  async function turn() {
    if (timer === null) return;
    try {
      await step();
    } catch (error) {
      failed(error);
      return stop();
    }
    if (timer !== null && play.isConnected) timer = setTimeout(turn, delay);
    else stop();
  }

  function stop() {
    clearTimeout(timer);
    timer = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }

  return { buttons: [next, play], stop };
}
