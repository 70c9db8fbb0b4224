// Drawing on the day of a what-if. Comfort only: the form's fields say the same, and say it without this file.
"use strict";

(() => {
  const QUARTER = 15 * 60;
  const EDGE = 10; // pixels at either end of the block that move that end alone

  const canvasNow = () => document.querySelector("[data-draw]");
  const field = (name) => document.querySelector(`form [name="${name}"]`);

  // The day's quarter-hours as times of day: 97 of them, four more or fewer when the clock changes.
  const timesOf = (canvas) => {
    const write = new Intl.DateTimeFormat("en-GB", {
      timeZone: canvas.dataset.zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    });
    const times = [];
    for (let at = Number(canvas.dataset.from); at <= Number(canvas.dataset.until); at += QUARTER) {
      times.push(write.format(at * 1000));
    }
    return times;
  };

  // What the fields say, as quarters of the day; an end that is not after the start is past midnight.
  const read = (canvas) => {
    const times = timesOf(canvas);
    const nearest = (value) => times.findIndex((time) => time >= value && time.slice(0, 5) !== "00:00");
    const first = field("start").value === "00:00" ? 0 : nearest(field("start").value);
    const found = nearest(field("end").value);
    const last = found > first ? found : times.length - 1;
    return { times, first: Math.max(first, 0), last };
  };

  const show = (canvas) => {
    const { times, first, last } = read(canvas);
    const block = canvas.querySelector(".drawn");
    const part = (quarter) => Math.round((quarter / (times.length - 1)) * 288);
    const text = `${field("start").value}–${field("end").value}`;
    block.hidden = !field("start").value || !field("end").value;
    block.className = `drawn s${part(first)} n${Math.max(part(last) - part(first), 1)}`;
    block.querySelector("[data-times]").textContent = text;
    block.tabIndex = 0;
    block.setAttribute("role", "slider");
    block.setAttribute("aria-label", "What if, from and until");
    block.setAttribute("aria-valuemin", "0");
    block.setAttribute("aria-valuemax", String(times.length - 1));
    block.setAttribute("aria-valuenow", String(first));
    block.setAttribute("aria-valuetext", text);
  };

  const write = (canvas, first, last) => {
    const times = timesOf(canvas);
    const from = Math.min(Math.max(first, 0), times.length - 2);
    const until = Math.min(Math.max(last, from + 1), times.length - 1);
    field("start").value = times[from];
    field("end").value = times[until];
    show(canvas);
  };

  // A drag draws anew, moves the block, or moves one of its ends, by where it began.
  let drag = null;
  document.addEventListener("pointerdown", (event) => {
    const canvas = event.target.closest("[data-draw]");
    if (!canvas || event.button !== 0) return;
    const { times, first, last } = read(canvas);
    const box = canvas.getBoundingClientRect();
    const quarter = (at) => ((at.clientX - box.left) / box.width) * (times.length - 1);
    const block = canvas.querySelector(".drawn").getBoundingClientRect();
    const isOn = event.clientX >= block.left && event.clientX <= block.right;
    const began = quarter(event);
    drag = { canvas, quarter, move: (at) => [Math.floor(Math.min(began, at)), Math.ceil(Math.max(began, at))] };
    if (isOn && event.clientX - block.left <= EDGE) {
      drag.move = (at) => [Math.min(Math.round(at), last - 1), last];
    } else if (isOn && block.right - event.clientX <= EDGE) {
      drag.move = (at) => [first, Math.max(Math.round(at), first + 1)];
    } else if (isOn) {
      const most = times.length - 1 - (last - first);
      drag.move = (at) => {
        const moved = Math.min(Math.max(first + Math.round(at - began), 0), most);
        return [moved, moved + last - first];
      };
    }
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    canvas.querySelector(".drawn").focus({ preventScroll: true });
  });
  document.addEventListener("pointermove", (event) => {
    if (drag) write(drag.canvas, ...drag.move(drag.quarter(event)));
  });
  ["pointerup", "pointercancel"].forEach((name) => document.addEventListener(name, () => { drag = null; }));

  document.addEventListener("keydown", (event) => {
    const canvas = event.target.closest("[data-draw]");
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!canvas || !way) return;
    event.preventDefault();
    const { times, first, last } = read(canvas);
    const isPossible = event.shiftKey || (first + way >= 0 && last + way < times.length);
    if (isPossible) write(canvas, event.shiftKey ? first : first + way, last + way);
  });

  document.addEventListener("input", (event) => {
    if (["start", "end"].includes(event.target.name) && canvasNow()) show(canvasNow());
  });
  const begin = () => {
    const help = document.querySelector("[data-draw-help]");
    if (!canvasNow() || !help) return;
    help.hidden = false;
    show(canvasNow());
  };
  document.addEventListener("htmx:afterSwap", begin);
  begin();
})();
