// Asking for the token, once, however many requests want it.
import { accepts, token } from "./api.js";
import { el } from "./dom.js";
import { cancelButton, dialogForm, openDialog } from "./dialog.js";

let open = false;

/** Ask until the API takes the token, then call `then`. */
export function askToken(then) {
  if (open) return;
  open = true;
  const refused = token.get() !== "";
  token.clear();
  const input = el("input", {
    id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, autofocus: true,
    "aria-describedby": "token-help",
  });
  let taken = false;
  const form = dialogForm(
    [
      refused && el("p", { class: "error" }, "The token that was kept is no longer taken."),
      el("label", { for: "token" }, "Token"),
      input,
      el("p", { id: "token-help", class: "help" },
        "The value of the variable that api.token_env names. It is kept for this browser tab only."),
    ],
    [el("button", { type: "submit", class: "primary" }, "Use this token"), cancelButton()],
    async () => {
      const given = input.value.trim();
      if (!given) throw new Error("Give the token first.");
      if (!(await accepts(given))) throw new Error("The monitor does not take this token.");
      token.set(given);
      taken = true;
    },
  );
  openDialog("This monitor asks for a token", form).closed.then(() => {
    open = false;
    if (taken) then();
  });
}
