// Modal dialogs: Escape closes, the focus goes back to where it was.
import { el, freshId } from "./dom.js";

/** An open dialog with a title and a body; `closed` resolves when it has gone. */
export function openDialog(title, ...body) {
  const heading = el("h2", { id: freshId("dialog"), tabindex: "-1" }, title);
  const dialog = el("dialog", { "aria-labelledby": heading.id }, heading, ...body);
  const before = document.activeElement;
  document.getElementById("dialogs").append(dialog);
  const closed = new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      done();
    });
  });
  dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? heading).focus();
  return { dialog, closed };
}

/** A button that waits for an answer. Not `disabled`: that would take the focus from it. */
export function setBusy(button, busy) {
  if (busy) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

export function isBusy(button) {
  return button.hasAttribute("aria-disabled");
}

/** A form in a dialog. `act` may raise: its message is shown and the dialog stays. */
export function dialogForm(fields, buttons, act) {
  const wrong = el("p", { class: "error", role: "alert" });
  const form = el("form", { novalidate: true }, fields, wrong, el("div", { class: "buttons" }, buttons));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const sender = form.querySelector("[type=submit]");
    if (isBusy(sender)) return;
    setBusy(sender, true);
    wrong.textContent = "";
    try {
      await act();
      form.closest("dialog")?.close();
    } catch (error) {
      wrong.textContent = error.message;
    } finally {
      setBusy(sender, false);
    }
  });
  return form;
}

export function cancelButton(text = "Cancel") {
  return el("button", { type: "button", onclick: (event) => event.target.closest("dialog").close() }, text);
}
