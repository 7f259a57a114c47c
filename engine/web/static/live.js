// Fetches the board each second and marks what is new. The server renders it; this only swaps.
"use strict";
(() => {
  const board = document.getElementById("board");
  const lines = () => new Set([...board.querySelectorAll("[data-line]")].map((line) => line.dataset.line));
  const days = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
  });

  // Between two answers the clock runs on by itself, as fast as the demo's.
  let read = performance.now();
  const tick = () => {
    const clock = board.querySelector("[data-clock]");
    if (clock) {
      const at = Date.parse(clock.dateTime) + (performance.now() - read) * Number(clock.dataset.speed);
      clock.textContent = days.format(at);
    }
    requestAnimationFrame(tick);
  };

  const refresh = async () => {
    try {
      const answer = await fetch(board.dataset.source, { cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const html = await answer.text();
      const before = lines();
      board.innerHTML = html;
      read = performance.now();
      for (const line of board.querySelectorAll("[data-line]")) {
        if (!before.has(line.dataset.line)) line.classList.add("fresh");
      }
      board.classList.remove("stale");
    } catch {
      board.classList.add("stale"); // greyed until the demo answers again
    }
    setTimeout(refresh, 1000);
  };
  setTimeout(refresh, 1000);
  requestAnimationFrame(tick);
})();
