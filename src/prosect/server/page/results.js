// What leaves the page: files to this computer, files below the server's output root, and lists to finetune from.
import * as api from "./api.js";
import { $ } from "./elements.js";
import { say, toast } from "./messages.js";

const dialog = $("save-dialog");
const trouble = $("save-problem");

export class Results {
  /** `session` returns the identity of the session that is open, `stem` the name of its scan. */
  constructor(session, stem) {
    this.session = session;
    this.stem = stem;
    $("export").addEventListener("submit", (event) => { event.preventDefault(); this.attempt(() => this.download()); });
    $("save").addEventListener("click", () => this.ask());
    $("save-form").addEventListener("submit", (event) => { event.preventDefault(); this.attempt(() => this.save()); });
    $("list-form").addEventListener("submit", (event) => { event.preventDefault(); this.attempt(() => this.list()); });
  }

  async download() {
    say("writing the file…");
    const { name, blob } = await api.download(`/sessions/${this.session()}/export?format=${$("format").value}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`${name}: ${(blob.size / 1e6).toFixed(2)} MB`);
  }

  ask() {
    trouble.hidden = true;
    $("save-name").value = `${this.stem()}_labels.${$("format").value}`;
    $("list-done").textContent = "";
    dialog.showModal();
  }

  async save() {
    const { files } = await api.send("POST", `/sessions/${this.session()}/save`, { output: $("save-name").value, format: $("format").value });
    dialog.close();
    toast(`Saved on the server: ${files.join(", ")}`);
  }

  async list() {
    const said = await api.send("POST", "/training-sets", { output: $("list-name").value });
    $("list-done").textContent = `${said.scans} scans. On the server: ${said.command}`;
  }

  /** Do something; what is refused is said where it was asked for. */
  async attempt(run) {
    trouble.hidden = true;
    try {
      await run();
    } catch (error) {
      if (!dialog.open) {
        toast(error.message, { kind: "problem", code: error.code ?? "" });
        return;
      }
      trouble.textContent = `${error.message} [${error.code ?? "LOST"}]`;
      trouble.hidden = false;
    }
  }
}
