// Asks a person's authenticator before a form is sent. It decides nothing: the server looks at what comes back.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const make = async (asked) => {
    const found = await navigator.credentials.create({ publicKey: {
      ...asked, challenge: bytes(asked.challenge), user: { ...asked.user, id: bytes(asked.user.id) },
      excludeCredentials: known(asked.excludeCredentials) } });
    return { credential_id: text(found.rawId), attestation: text(found.response.attestationObject), client_data: text(found.response.clientDataJSON) };
  };

  const use = async (asked) => {
    const found = await navigator.credentials.get({ publicKey: {
      ...asked, challenge: bytes(asked.challenge), allowCredentials: known(asked.allowCredentials) } });
    return { credential_id: text(found.rawId), authenticator_data: text(found.response.authenticatorData),
      client_data: text(found.response.clientDataJSON), signature: text(found.response.signature) };
  };

  const WORDS = {
    NotAllowedError: "Nothing was sent: your passkey was not used, or not in time. Try again.",
    InvalidStateError: "Nothing was sent: this device or key holds a passkey of yours already.",
  };

  const why = (form, error) => {
    if (error.name === "SecurityError") return "Nothing was sent: passkeys do not work under this address. " + (form.dataset.elsewhere || "");
    return WORDS[error.name] || error.words || "Nothing was sent: the server could not be reached. Try again.";
  };

  const say = (form, words) => {
    let said = form.querySelector("[role=alert]");
    if (!said) {
      said = document.createElement("p");
      said.className = "notice bad";
      said.setAttribute("role", "alert");
      form.append(said);
    }
    said.textContent = words;
    said.hidden = !words;
  };

  const asked = async (form, button) => {
    if (form.dataset.options) return JSON.parse(form.dataset.options);
    const data = new FormData(form);
    if (button && button.name) data.append(button.name, button.value);
    const reply = await fetch(form.dataset.passkey, { method: "POST", body: new URLSearchParams(data), redirect: "error" });
    const found = (reply.headers.get("content-type") || "").startsWith("application/json") ? await reply.json() : {};
    if (reply.ok) return found;
    throw Object.assign(new Error(), { words: found.problem || "Nothing was sent: open this page again, then try once more." });
  };

  const busy = new WeakSet();
  const answered = new WeakSet();

  // Before anything else that listens: a page that looks for news may have put this form in a moment ago.
  document.addEventListener("submit", async (event) => {
    const form = event.target, button = event.submitter;
    if (!form.dataset.passkey || answered.has(form)) return;
    event.preventDefault();
    if (busy.has(form)) return;
    busy.add(form);
    say(form, "");
    try {
      if (!window.PublicKeyCredential) throw Object.assign(new Error(), { words: "Nothing was sent: this browser knows no passkeys, or the page was not opened over https." });
      const options = await asked(form, button);
      form.elements.answer.value = JSON.stringify(await (form.dataset.make ? make(options) : use(options)));
      answered.add(form);
      form.requestSubmit(button);
    } catch (error) {
      say(form, why(form, error));
    } finally {
      busy.delete(form);
    }
  });

  // Back on a page that was left: its form asks again.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
