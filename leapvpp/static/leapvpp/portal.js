// Comfort only: every page works without this file.
"use strict";

// A toast goes away when told to.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-dismiss]");
  if (button) button.closest(".toast").remove();
});

// Filters apply as soon as they change; without scripts their button does it.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-autosubmit]");
  if (form) form.requestSubmit();
});

// A button opens the dialog it names; without scripts its href leads to a page of its own.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  const closer = event.target.closest("[data-close]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog && dialog.showModal) {
      event.preventDefault();
      dialog.showModal();
    }
  } else if (closer) {
    event.preventDefault();
    closer.closest("dialog").close();
  }
});

// Copy an address that is shown in a field.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  if (navigator.clipboard) {
    navigator.clipboard.writeText(field.value).then(() => { button.textContent = "Copied"; });
  }
});

// Keys of the calendar: a link says which key presses it.
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea, dialog[open]");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});

// A refresh must not take the ground from under who walks the part by keyboard.
document.addEventListener("htmx:beforeRequest", (event) => {
  const focused = document.activeElement;
  const isTimed = !event.detail.requestConfig.triggeringEvent;
  const beside = event.detail.elt.getAttribute("hx-select-oob");
  const isInside = event.detail.target.contains(focused) || (beside && focused.closest(beside));
  if (isTimed && isInside && focused.matches(":focus-visible")) {
    event.preventDefault();
  }
});

// What was unfolded stays unfolded; when the session has ended, the whole page says so.
let unfolded = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL).pathname.startsWith("/sign-in/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
  unfolded = [...document.querySelectorAll("main details[open][id]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", () => {
  unfolded.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
});
