// Step and play.

import { button, failed } from "./dom.js";

// `step` may be asynchronous; what it throws ends the playing.
export function player(id, step, { delay = 350 } = {}) {
  let timer = null;
  const once = () => Promise.resolve(step()).catch(failed);
  const next = button("Step", once, { id: `${id}-step` });
  const play = button("Play", () => (timer === null ? start() : stop()),
    { id: `${id}-play`, "aria-pressed": "false" });

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

// The indices after these in row order, of the same map; after the last ones the first. Of a row of
// values the next value.
export function following([c, i, j], [channels, height, width]) {
  if (!width) return [(c + 1) % channels, 0, 0];
  const next = (i * width + j + 1) % (height * width);
  return [c, Math.floor(next / width), next % width];
}
